// A study's page: what it is, its series with thumbnails, one image large, and the metadata.
import { count, element, isIdentifier, modalityLabels, showState, sourceLink, webLink, whenNear } from "./dom.js";
import { readAll, readCatalogue, readJson, showFailure, showSite } from "./data.js";
import { metadataTable } from "./metadata.js";
import { overview, readPyramid } from "./pyramid.js";
import { statusOf, thumbnail } from "./thumbnail.js";

const imagesPerStep = 24;
// Up to here each image is asked for its place in the series; longer series keep the server's order.
const sortedSeriesAtMost = 200;
// Up to here all series are read first and sorted by number.
const sortedStudyAtMost = 400;

const page = document.querySelector("#content");
const dialog = document.querySelector("#viewer");
const labels = new Map();
let sequence = [];
let openedBy = null;

const sections = whenNear((section) => fillers.get(section)?.(), "300px");
const fillers = new WeakMap();
const sectionOf = new Map();

async function start() {
    const id = new URLSearchParams(location.search).get("id");
    showState(page, { kind: "loading", title: "Loading the study …" });
    page.setAttribute("aria-busy", "true");
    const catalogue = await readCatalogue().catch(() => ({ site: {}, studies: [] }));
    const known = catalogue.studies.find((study) => study.id === id) ?? {};
    showSite(catalogue.site, known.title || "Study");
    if (!isIdentifier(id)) {
        showState(page, {
            kind: "error",
            title: "The study was not found",
            text: "The address is not complete.",
            action: element("a", { class: "button", href: "/" }, "All studies"),
        });
        return;
    }
    try {
        const study = await readJson(`/studies/${id}`);
        const ids = study.Series ?? [];
        const series =
            ids.length > sortedStudyAtMost
                ? ids.map((one) => ({ ID: one }))
                : (await readAll(ids, (one) => readJson(`/series/${one}`))).sort(bySeriesNumber);
        show(known, study, series);
    } catch (error) {
        showFailure(page, error, "The study", start);
        return;
    }
    page.removeAttribute("aria-busy");
    followAddress();
}

function bySeriesNumber(one, other) {
    const number = (series) => Number(series.MainDicomTags?.SeriesNumber || Infinity);
    return (
        number(one) - number(other) || seriesTitle(one).localeCompare(seriesTitle(other), undefined, { numeric: true })
    );
}

function seriesTitle(series) {
    const tags = series.MainDicomTags ?? {};
    return (
        tags.SeriesDescription || tags.ProtocolName || (tags.SeriesNumber ? `Series ${tags.SeriesNumber}` : "Series")
    );
}

function dicomDate(text) {
    return /^\d{8}$/.test(text ?? "") ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : "";
}

function show(known, study, series) {
    const tags = study.MainDicomTags ?? {};
    const title = known.title || tags.StudyDescription || "Untitled study";
    const modalities = known.modalities ?? [
        ...new Set(series.map((one) => one.MainDicomTags?.Modality).filter(Boolean)),
    ];
    const images = known.instances ?? series.reduce((total, one) => total + (one.Instances?.length ?? 0), 0);
    const facts = [
        ["Licence", known.licence && webLink(known.licence)],
        ["Source", known.source && sourceLink(known.source)],
        ["Content", `${count(series.length, "series", "series")}, ${count(images, "image")}`],
        ["Date", dicomDate(tags.StudyDate)],
        ["Identifier", element("code", {}, study.ID)],
    ].filter(([, value]) => value);
    const first = series[0]?.Instances?.[0];
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
                        ...modalityLabels(modalities),
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
                ...series.map((one) => seriesSection(one, known)),
            ),
            first && metadataTable(first, "Metadata of the first image"),
        ),
    );
    if (!series.length) page.append(element("div", { class: "state" }, element("h2", {}, "This study has no images")));
}

function seriesSection(series, study) {
    const section = element("section", { class: "series" });
    const slide = study.whole_slide && (series.MainDicomTags?.Modality ?? "SM") === "SM";
    const fill = async () => {
        try {
            const whole = series.Instances ? series : await readJson(`/series/${series.ID}`);
            if (slide && (await fillSlide(section, whole, study))) return;
            await fillImages(section, whole);
        } catch (error) {
            showFailure(section, error, "The series", fill);
        }
    };
    reserve(section, series, slide);
    sectionOf.set(series.ID, section);
    fillers.set(section, fill);
    sections.observe(section);
    return section;
}

function heading(series) {
    return element(
        "header",
        {},
        element("h2", {}, seriesTitle(series)),
        element("p", {}, count(series.Instances.length, "image")),
    );
}

// Empty frames of the final size: the page does not move when the pictures arrive.
function reserve(section, series, slide) {
    if (slide) {
        section.classList.add("series-slide");
        section.append(element("div", { class: "slide" }, element("span", { class: "frame" })));
        return;
    }
    const places = Math.min(series.Instances?.length ?? 3, imagesPerStep);
    section.append(
        series.Instances ? heading(series) : "",
        element(
            "ul",
            { class: "images" },
            ...Array.from({ length: places }, () => element("li", {}, element("span", { class: "frame" }))),
        ),
    );
}

async function fillSlide(section, series, study) {
    let pyramid;
    try {
        pyramid = await readPyramid(series.ID);
    } catch (error) {
        if (error.status !== 404) throw error;
        section.classList.remove("series-slide");
        return false;
    }
    const address = `/viewer.html?series=${series.ID}&study=${study.id}`;
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
                    `${pyramid.TotalWidth.toLocaleString()} × ${pyramid.TotalHeight.toLocaleString()} pixels, ` +
                        count(pyramid.Sizes.length, "level"),
                ),
            ),
        ),
    );
    frame.append(await overview(pyramid, `Overview of ${study.title || "the whole slide"}`));
    frame.classList.add("loaded");
    return true;
}

async function fillImages(section, series) {
    const [order, picture] = await Promise.all([sorted(series.Instances), pictureOf(series)]);
    const name = seriesTitle(series);
    order.forEach((id, index) => labels.set(id, { title: `${name}, image ${index + 1} of ${order.length}`, order }));
    const images = element("ul", { class: "images" });
    const more = element("button", { class: "button", type: "button", onclick: () => append() });
    let shown = 0;
    const append = (step = imagesPerStep * 2) => {
        const next = order.slice(shown, shown + step);
        images.append(
            ...next.map((id) =>
                element("li", {}, element("a", { href: `#image=${id}` }, thumbnail(picture(id), labels.get(id).title))),
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

// Orthanc's small rendering is black where a deep greyscale image names no window: there the preview, which stretches
// the grey values, is shown instead.
async function pictureOf(series) {
    const small = (id) => `/instances/${id}/rendered?width=256`;
    if (!series.Instances.length) return small;
    const tags = await readJson(`/instances/${series.Instances[0]}/simplified-tags`);
    return Number(tags.BitsStored) > 8 && !tags.WindowCenter ? (id) => `/instances/${id}/preview` : small;
}

async function sorted(ids) {
    if (ids.length < 2 || ids.length > sortedSeriesAtMost) return ids;
    const instances = await readAll(ids, (id) => readJson(`/instances/${id}`));
    const place = (instance) => Number(instance.IndexInSeries ?? instance.MainDicomTags?.InstanceNumber ?? Infinity);
    return instances.sort((one, other) => place(one) - place(other) || 0).map((instance) => instance.ID);
}

// One image large. It has an address of its own (#image=…), so that Back closes it and it can be sent to others.
function followAddress() {
    const id = new URLSearchParams(location.hash.slice(1)).get("image");
    if (isIdentifier(id)) showImage(id);
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
    const { ParentSeries } = await readJson(`/instances/${id}`).catch(() => ({}));
    await fillers.get(sectionOf.get(ParentSeries))?.();
    if (location.hash === `#image=${id}` && labels.has(id)) showLabel(id);
}

function showImage(id) {
    if (!labels.has(id)) findLabel(id);
    const label = showLabel(id);
    const place = document.querySelector("#lightbox-image");
    const image = element("img", { src: `/instances/${id}/preview`, alt: label.title, decoding: "async" });
    image.addEventListener("load", () => place.removeAttribute("aria-busy"));
    image.addEventListener("error", async () => {
        const status = await statusOf(image.src);
        if (place.firstChild !== image) return;
        showState(
            place,
            status === 415
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
    const metadata = metadataTable(id, "Metadata of this image");
    document.querySelector("#lightbox-metadata").replaceChildren(metadata);
    metadata.open = open;
    if (!dialog.open) {
        openedBy = document.activeElement;
        dialog.showModal();
    }
}

function step(by) {
    const id = new URLSearchParams(location.hash.slice(1)).get("image");
    const next = sequence[sequence.indexOf(id) + by];
    if (next) {
        history.replaceState(history.state, "", `#image=${next}`);
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
