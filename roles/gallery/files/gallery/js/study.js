// A study's page: what it is, its series with thumbnails, one image large, and the metadata.
import { count, element, modalityLabels, showState, sourceLink, webLink, whenNear } from "./dom.js";
import { readCatalogue, showFailure, showSite } from "./data.js";
import { readById, viewerAddress } from "./drivers.js";
import { metadataTable } from "./metadata.js";
import { overview } from "./pyramid.js";
import { statusOf, thumbnail } from "./thumbnail.js";

const imagesPerStep = 24;

const page = document.querySelector("#content");
const dialog = document.querySelector("#viewer");
const labels = new Map();
let driver;
let sequence = [];
let openedBy = null;

const sections = whenNear((section) => fillers.get(section)?.(), "300px");
const fillers = new WeakMap();
const sectionOf = new Map();

async function start() {
    const parameters = new URLSearchParams(location.search);
    const id = parameters.get("id") ?? location.pathname.match(/^\/study\/([^/]+)$/)?.[1] ?? null;
    showState(page, { kind: "loading", title: "Loading the study …" });
    page.setAttribute("aria-busy", "true");
    const catalogue = await readCatalogue().catch(() => ({ site: {}, studies: [] }));
    const name = parameters.get("driver");
    const known = catalogue.studies.find((study) => study.id === id && (!name || study.driver === name)) ?? {};
    showSite(catalogue.site, known.title || "Study");
    try {
        let study;
        [driver, study] = await readById(id, name ?? known.driver, (one) => one.study(id));
        show(known, study);
    } catch (error) {
        if (error.incomplete)
            showState(page, {
                kind: "error",
                title: "The study was not found",
                text: "The address is not complete.",
                action: element("a", { class: "button", href: "/" }, "All studies"),
            });
        else showFailure(page, error, "The study", start);
        return;
    }
    page.removeAttribute("aria-busy");
    followAddress();
}

function show(known, study) {
    const { series } = study;
    const title = known.title || study.title || "Untitled study";
    const images = known.instances ?? series.reduce((total, one) => total + (one.images?.length ?? 0), 0);
    const facts = [
        ["Licence", known.licence && webLink(known.licence)],
        ["Source", known.source && sourceLink(known.source)],
        ["Content", `${count(series.length, "series", "series")}, ${count(images, "image")}`],
        ["Date", study.date],
        ["Identifier", element("code", {}, study.id)],
    ].filter(([, value]) => value);
    const first = series[0]?.images?.[0];
    page.replaceChildren(
        element(
            "article",
            { class: "study" },
            element(
                "header",
                { class: "study-head" },
                element(
                    "div",
                    {},
                    element(
                        "p",
                        { class: "study-labels" },
                        ...modalityLabels(known.modalities ?? study.modalities, driver.modalityName),
                        known.whole_slide && element("span", { class: "label label-strong" }, "Whole slide"),
                    ),
                    element("h1", {}, title),
                    known.description && element("p", { class: "lead" }, known.description),
                ),
                element(
                    "dl",
                    { class: "facts" },
                    ...facts.map(([name, value]) =>
                        element("div", {}, element("dt", {}, name), element("dd", {}, value)),
                    ),
                ),
            ),
            element(
                "div",
                { class: series.length > 6 ? "series-list series-many" : "series-list" },
                ...series.map((one) => seriesSection(one, study, known)),
            ),
            first && metadataTable(() => driver.metadata(first), "Metadata of the first image"),
        ),
    );
    if (!series.length) page.append(element("div", { class: "state" }, element("h2", {}, "This study has no images")));
}

function seriesSection(series, study, known) {
    const section = element("section", { class: "series" });
    const slide = known.whole_slide && series.maybeSlide;
    const fill = async () => {
        try {
            if (slide && (await fillSlide(section, series, study, known))) return;
            await fillImages(section, series.images ? series : await driver.series(series.id), known);
        } catch (error) {
            showFailure(section, error, "The series", fill);
        }
    };
    reserve(section, series, slide);
    sectionOf.set(series.id, section);
    fillers.set(section, fill);
    sections.observe(section);
    return section;
}

function heading(series) {
    return element(
        "header",
        {},
        element("h2", {}, series.title),
        element("p", {}, count(series.images.length, "image")),
    );
}

// Empty frames of the final size: the page does not move when the pictures arrive.
function reserve(section, series, slide) {
    if (slide) {
        section.classList.add("series-slide");
        section.append(element("div", { class: "slide" }, element("span", { class: "frame" })));
        return;
    }
    const places = Math.min(series.images?.length ?? 3, imagesPerStep);
    section.append(
        series.images ? heading(series) : "",
        element(
            "ul",
            { class: "images" },
            ...Array.from({ length: places }, () => element("li", {}, element("span", { class: "frame" }))),
        ),
    );
}

async function fillSlide(section, series, study, known) {
    const source = await driver.tileSource(series.id);
    if (!source) {
        section.classList.remove("series-slide");
        return false;
    }
    const address = viewerAddress(series.id, study.id, driver.name);
    const frame = element("span", { class: "frame" });
    section.replaceChildren(
        element(
            "a",
            { class: "slide", href: address },
            frame,
            element(
                "span",
                { class: "slide-text" },
                element("strong", {}, "Open deep zoom"),
                element(
                    "span",
                    {},
                    `${source.width.toLocaleString()} × ${source.height.toLocaleString()} pixels, ` +
                        count(source.levels.length, "level"),
                ),
            ),
        ),
    );
    frame.append(await overview(source, `Overview of ${known.title || "the whole slide"}`));
    frame.classList.add("loaded");
    return true;
}

async function fillImages(section, series, known) {
    const order = await driver.images(series);
    const name = series.title;
    order.forEach((id, index) => labels.set(id, { title: `${name}, image ${index + 1} of ${order.length}`, order }));
    const images = element("ul", { class: "images" });
    const more = element("button", { class: "button", type: "button", onclick: () => append() });
    const small = (id) => thumbnail(driver.thumbnail(id, series, known), labels.get(id).title, driver.cannotDraw);
    let shown = 0;
    const append = (step = imagesPerStep * 2) => {
        const next = order.slice(shown, shown + step);
        images.append(
            ...next.map((id) =>
                element("li", {}, element("a", { href: `#image=${encodeURIComponent(id)}` }, small(id))),
            ),
        );
        shown += next.length;
        const following = Math.min(imagesPerStep * 2, order.length - shown);
        more.textContent = `Show ${following.toLocaleString()} more of ${order.length.toLocaleString()}`;
        more.hidden = shown >= order.length;
    };
    append(order.length > imagesPerStep * 1.5 ? imagesPerStep : order.length);
    section.replaceChildren(heading(series), images, more);
}

// One image large. It has an address of its own (#image=…), so that Back closes it and it can be sent to others.
function imageOfAddress() {
    return new URLSearchParams(location.hash.slice(1)).get("image");
}

function followAddress() {
    if (!driver) return;
    const id = imageOfAddress();
    if (driver.isId(id)) showImage(id);
    else if (dialog.open) dialog.close();
}

function showLabel(id) {
    const label = labels.get(id) ?? { title: "Image", order: [id] };
    sequence = label.order;
    document.querySelector("#lightbox-title").textContent = label.title;
    const position = sequence.indexOf(id);
    dialog.querySelector("[data-do=previous]").disabled = position <= 0;
    dialog.querySelector("[data-do=next]").disabled = position >= sequence.length - 1;
    return label;
}

// Somebody came by the address of an image: its series, perhaps far down the page, tells its name and its neighbours.
async function findLabel(id) {
    const series = await driver.seriesOf(id).catch(() => null);
    await fillers.get(sectionOf.get(series))?.();
    if (imageOfAddress() === id && labels.has(id)) showLabel(id);
}

function showImage(id) {
    if (!labels.has(id)) findLabel(id);
    const label = showLabel(id);
    const place = document.querySelector("#lightbox-image");
    const image = element("img", { src: driver.picture(id), alt: label.title, decoding: "async" });
    image.addEventListener("load", () => place.removeAttribute("aria-busy"));
    image.addEventListener("error", async () => {
        const status = await statusOf(image.src);
        if (place.firstChild !== image) return;
        showState(
            place,
            driver.cannotDraw.includes(status)
                ? { title: "No preview", text: "This image’s format has no preview. Its metadata is below." }
                : {
                      kind: "error",
                      title: "The image servers are busy",
                      action: element(
                          "button",
                          { class: "button", type: "button", onclick: () => showImage(id) },
                          "Try again",
                      ),
                  },
        );
    });
    place.setAttribute("aria-busy", "true");
    place.replaceChildren(image);
    const open = document.querySelector("#lightbox-metadata details")?.open ?? matchMedia("(min-width: 56rem)").matches;
    const metadata = metadataTable(() => driver.metadata(id), "Metadata of this image");
    document.querySelector("#lightbox-metadata").replaceChildren(metadata);
    metadata.open = open;
    if (!dialog.open) {
        openedBy = document.activeElement;
        dialog.showModal();
    }
}

function step(by) {
    const next = sequence[sequence.indexOf(imageOfAddress()) + by];
    if (next) {
        history.replaceState(history.state, "", `#image=${encodeURIComponent(next)}`);
        showImage(next);
    }
}

dialog.addEventListener("click", (event) => {
    const what = event.target.closest("[data-do]")?.dataset.do;
    if (what === "close" || event.target === dialog) dialog.close();
    else if (what) step(what === "next" ? 1 : -1);
});
dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input")) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
});
dialog.addEventListener("close", () => {
    if (location.hash) history.replaceState(history.state, "", location.pathname + location.search);
    openedBy?.focus?.();
});
addEventListener("hashchange", followAddress);
start();
