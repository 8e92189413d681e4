// The metadata of one image: collapsed, read when opened, searched while typing.
import { element } from "./dom.js";
import { showFailure } from "./data.js";

/** A collapsed table of an image's metadata; `load()` reads it. */
export function metadataTable(load, title) {
    const place = element("div", { class: "metadata-body" });
    const details = element("details", { class: "metadata" }, element("summary", {}, title), place);
    const read = async () => {
        place.replaceChildren(element("p", { role: "status" }, "Loading the metadata …"));
        try {
            fill(place, flat(await load()));
        } catch (error) {
            showFailure(place, error, "The metadata", read);
        }
    };
    details.addEventListener("toggle", () => {
        if (details.open && !place.firstChild) read();
    });
    return details;
}

/** Nested values as rows of [name, value]: those of a list are named `List 1 / Name`. */
export function flat(tags, prefix = "") {
    return Object.entries(tags).flatMap(([name, value]) => {
        if (Array.isArray(value)) return value.flatMap((item, index) => flat(item, `${prefix}${name} ${index + 1} / `));
        if (value !== null && typeof value === "object") return flat(value, `${prefix}${name} / `);
        return value === null || value === "" ? [] : [[prefix + name, String(value)]];
    });
}

// "PixelSizeUM" as "Pixel Size UM".
function spaced(name) {
    return name.replace(/([a-z])([A-Z])/g, "$1 $2").replace(/([A-Z])([A-Z][a-z])/g, "$1 $2");
}

// A whole slide may have thousands of values, some for each tile: all are searched, the first are shown.
const rowsAtMost = 300;

function fill(place, rows) {
    const search = element("input", {
        type: "search",
        autocomplete: "off",
        spellcheck: "false",
        placeholder: `Search ${rows.length.toLocaleString()} tags`,
        "aria-label": "Search the metadata",
    });
    const note = element("p", { class: "metadata-note", role: "status" });
    const body = element("tbody");
    const texts = rows.map(([name, value]) => `${name} ${spaced(name)} ${value}`.toLocaleLowerCase());
    const show = () => {
        const words = search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
        const matching = rows.filter((row, index) => words.every((word) => texts[index].includes(word)));
        body.replaceChildren(
            ...matching
                .slice(0, rowsAtMost)
                .map(([name, value]) =>
                    element("tr", {}, element("th", { scope: "row" }, spaced(name)), element("td", {}, value)),
                ),
        );
        note.textContent = !matching.length
            ? "No tag matches."
            : matching.length <= rowsAtMost
              ? ""
              : `${(matching.length - rowsAtMost).toLocaleString()} more tags; search to find them.`;
    };
    search.addEventListener("input", show);
    show();
    place.replaceChildren(
        search,
        element(
            "div",
            { class: "table", tabindex: "0", role: "region", "aria-label": "Metadata" },
            element(
                "table",
                {},
                element(
                    "thead",
                    { class: "visually-hidden" },
                    element("tr", {}, element("th", { scope: "col" }, "Tag"), element("th", { scope: "col" }, "Value")),
                ),
                body,
            ),
        ),
        note,
    );
}
