// How the gallery draws pictures in a folder: a study is one series, and a thumbnail is the picture itself.
import { drivers } from "../drivers.js";
import { readJson } from "/js/data.js";

const { pages, cannot_draw: cannotDraw } = drivers.static_images;
export { cannotDraw };

function address(page, id) {
    return pages[page].replace("{id}", id);
}

export function isId(text) {
    return typeof text === "string" && /^[0-9a-f]{16}$/.test(text);
}

export function modalityName(code) {
    return code;
}

export async function study(id) {
    const { title, images: ids } = await readJson(address("study", id));
    const pictures = { id, title: "Pictures", images: ids, maybeSlide: false };
    return { id, title, date: "", modalities: [], series: [pictures] };
}

export async function series(id) {
    return (await study(id)).series[0];
}

export async function images(ofSeries) {
    return ofSeries.images;
}

export async function seriesOf(image) {
    return (await metadata(image)).Study;
}

export function thumbnail(image) {
    return picture(image);
}

export function picture(image) {
    return address("picture", image);
}

export function metadata(image) {
    return readJson(address("metadata", image));
}

export async function studyOf(seriesId) {
    return seriesId;
}

export async function slideOf() {
    return null;
}

export async function tileSource() {
    return null;
}
