// The metadata of one image: collapsed, read when opened, searched while typing.
import { element } from "./dom.js";
import { readJson, showFailure } from "./data.js";

/** A collapsed table of an instance's DICOM tags. */
export function metadataTable(instance, title) {
    const place = element("div", { class: "metadata-body" });
    const details = element("details", { class: "metadata" }, element("summary", {}, title), place);
    const read = async () => {
        place.replaceChildren(element("p", { role: "status" }, "Loading the metadata …"));
        try {
            fill(place, flat(await readJson(`/instances/${instance}/simplified-tags`)));
        } catch (error) {
            showFailure(place, error, "The metadata", read);
        }
    };
    details.addEventListener("toggle", () => {
        if (details.open && !place.firstChild) read();
    });
    return details;
}

/** Nested tags as rows of [name, value]: a sequence's tags are named `Sequence 1 / Tag`. */
export function flat(tags, prefix = "") {
    return Object.entries(tags).flatMap(([name, value]) => {
        if (Array.isArray(value)) return value.flatMap((item, index) => flat(item, `${prefix}${name} ${index + 1} / `));
        if (value !== null && typeof value === "object") return flat(value, `${prefix}${name} / `);
        return value === null || value === "" ? [] : [[prefix + name, String(value)]];
    });
}

// "SOPInstanceUID" as "SOP Instance UID".
function spaced(name) {
    return name.replace(/([a-z])([A-Z])/g, "$1 $2").replace(/([A-Z])([A-Z][a-z])/g, "$1 $2");
}

function fill(place, rows) {
    const search = element("input", { type: "search", autocomplete: "off", spellcheck: "false",
        placeholder: `Search ${rows.length} tags`, "aria-label": "Search the metadata" });
    const none = element("p", { role: "status", hidden: true }, "No tag matches.");
    const lines = rows.map(([name, value]) => element("tr", {},
        element("th", { scope: "row" }, spaced(name)), element("td", {}, value)));
    const texts = rows.map((row) => row.join(" ").toLocaleLowerCase());
    const readable = lines.map((line) => line.textContent.toLocaleLowerCase());
    search.addEventListener("input", () => {
        const words = search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
        lines.forEach((line, index) => {
            line.hidden = !words.every((word) => texts[index].includes(word) || readable[index].includes(word));
        });
        none.hidden = lines.some((line) => !line.hidden);
    });
    place.replaceChildren(search,
        element("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Metadata" },
            element("table", {}, element("thead", { class: "visually-hidden" }, element("tr", {},
                element("th", { scope: "col" }, "Tag"), element("th", { scope: "col" }, "Value"))),
            element("tbody", {}, ...lines))), none);
}
