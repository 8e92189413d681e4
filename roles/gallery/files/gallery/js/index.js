// The front page: all studies as cards, searched while typing.
import { count, element, modalityLabels, ownAddress, showState, sourceLink, whenNear } from "./dom.js";
import { readCatalogue, showFailure, showSite } from "./data.js";
import { driverOf, studyAddress } from "./drivers.js";
import { overview } from "./pyramid.js";
import { thumbnail } from "./thumbnail.js";

const cardsPerStep = 60;
const list = document.querySelector("#studies");
const query = document.querySelector("#query");
const chips = document.querySelector("#modalities");
const found = document.querySelector("#found");
const more = document.querySelector("#more");
let studies = [];
let matching = [];
let shown = 0;

const slides = whenNear(showSlide);
const slideStudies = new WeakMap();

async function start() {
    let catalogue;
    let drivers;
    try {
        catalogue = await readCatalogue();
        drivers = await Promise.all(catalogue.studies.map(driverOf));
    } catch (error) {
        document.body.removeAttribute("aria-busy");
        showFailure(list, error, "The catalogue", start);
        return;
    }
    showSite(catalogue.site);
    studies = catalogue.studies
        .map((study, index) => ({ ...study, draws: drivers[index] }))
        .filter((study) => study.draws);
    for (const study of studies) study.text = searchText(study);
    showFigures();
    showChips();
    restore();
    filter();
    document.body.removeAttribute("aria-busy");
}

function searchText(study) {
    const modalities = (study.modalities ?? []).flatMap((code) => [code, study.draws.modalityName(code)]);
    return [
        study.title,
        study.description,
        study.licence,
        study.source,
        ...modalities,
        study.whole_slide ? "whole slide deep zoom" : "",
    ]
        .join(" ")
        .toLocaleLowerCase();
}

function showFigures() {
    const sum = (read) => studies.reduce((total, study) => total + (Number(read(study)) || 0), 0);
    const figures = [
        studies.length,
        sum((study) => study.series),
        sum((study) => study.instances),
        studies.filter((study) => study.whole_slide).length,
    ];
    document.querySelectorAll("#figures dd").forEach((place, index) => {
        place.textContent = figures[index].toLocaleString();
    });
}

function showChips() {
    const frequency = new Map();
    const names = new Map();
    for (const study of studies)
        for (const code of study.modalities ?? []) {
            frequency.set(code, (frequency.get(code) ?? 0) + 1);
            names.set(code, study.draws.modalityName(code));
        }
    if (frequency.size < 2) return;
    chips.replaceChildren(
        ...[...frequency]
            .sort((one, other) => other[1] - one[1])
            .map(([code, studiesOfIt]) =>
                element(
                    "label",
                    { class: "chip", title: names.get(code) },
                    element("input", { type: "checkbox", name: "modality", value: code }),
                    element("span", {}, code, " ", element("small", {}, String(studiesOfIt))),
                ),
            ),
    );
}

function wanted() {
    return [...chips.querySelectorAll("input:checked")].map((input) => input.value);
}

// The search is in the address, so that Back returns to it and it can be sent to a colleague.
function restore() {
    const parameters = new URLSearchParams(location.search);
    query.value = parameters.get("q") ?? query.value;
    const codes = parameters.getAll("modality");
    for (const input of chips.querySelectorAll("input")) input.checked = codes.includes(input.value);
}

function remember() {
    const parameters = new URLSearchParams();
    if (query.value.trim()) parameters.set("q", query.value.trim());
    for (const code of wanted()) parameters.append("modality", code);
    history.replaceState(null, "", parameters.size ? `?${parameters}` : location.pathname);
}

function filter() {
    const words = query.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const codes = wanted();
    matching = studies.filter(
        (study) =>
            words.every((word) => study.text.includes(word)) &&
            (!codes.length || (study.modalities ?? []).some((code) => codes.includes(code))),
    );
    shown = 0;
    if (!studies.length) {
        found.textContent = "";
        showState(list, {
            title: "No studies yet",
            text: "This repository has been set up; its first images are still to come.",
        });
    } else if (!matching.length) {
        found.textContent = "No study matches";
        showState(list, {
            title: "No study matches",
            text: "Try fewer words, or another modality.",
            action: element("button", { class: "button", type: "button", onclick: clear }, "Clear the search"),
        });
    } else {
        found.textContent =
            matching.length === studies.length
                ? count(studies.length, "study", "studies")
                : `${matching.length.toLocaleString()} of ${count(studies.length, "study", "studies")}`;
        list.replaceChildren();
        showMore();
    }
    more.hidden = shown >= matching.length;
}

function clear() {
    query.value = "";
    for (const input of chips.querySelectorAll("input")) input.checked = false;
    remember();
    filter();
    query.focus();
}

function showMore() {
    const next = matching.slice(shown, shown + cardsPerStep);
    list.append(...next.map((study, index) => card(study, shown + index)));
    shown += next.length;
    more.hidden = shown >= matching.length;
}

function card(study, position) {
    const title = study.title || "Untitled study";
    const picture = thumbnail(study.thumbnail ? ownAddress(study.thumbnail) : null, `Sample image of ${title}`, study.draws.cannotDraw, {
        lazy: position > 3,
    });
    if (study.whole_slide) {
        slideStudies.set(picture, study);
        slides.observe(picture);
    }
    return element(
        "article",
        { class: "card" },
        element(
            "div",
            { class: "card-picture" },
            picture,
            study.whole_slide && element("span", { class: "badge" }, "Deep zoom"),
        ),
        element(
            "div",
            { class: "card-text" },
            element("h2", {}, element("a", { class: "card-link", href: studyAddress(study.id, study.draws.name) }, title)),
            study.description && element("p", { class: "card-description" }, study.description),
            element(
                "p",
                { class: "card-counts" },
                ...modalityLabels(study.modalities, study.draws.modalityName),
                element("span", {}, `${count(study.series, "series", "series")}, ${count(study.instances, "image")}`),
            ),
            element(
                "p",
                { class: "card-origin" },
                element("span", {}, study.licence || "No licence stated"),
                study.source && element("span", { class: "card-source" }, sourceLink(study.source)),
            ),
        ),
    );
}

// A single tile says little about a slide: show all of it. The thumbnail stays where that fails.
async function showSlide(frame) {
    const { id, draws } = slideStudies.get(frame);
    try {
        const source = await draws.tileSource(await draws.slideOf(id));
        const slide = await overview(source, frame.querySelector("img")?.alt ?? "Whole slide");
        frame.replaceChildren(slide);
        frame.classList.add("loaded");
    } catch {
        /* the thumbnail is there already */
    }
}

query.addEventListener("input", () => {
    remember();
    filter();
});
chips.addEventListener("change", () => {
    remember();
    filter();
});
document.querySelector("#search").addEventListener("submit", (event) => event.preventDefault());
more.addEventListener("click", showMore);
start();
