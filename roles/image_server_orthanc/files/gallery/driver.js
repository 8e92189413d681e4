// How the gallery draws what Orthanc serves: the only script that knows Orthanc's addresses, ids and DICOM tags.
// docs/drivers.md says what each function must answer. The addresses are those of the policy's table `pages`, which
// the warm fetches as well: whoever adds one here adds it there.
import { drivers } from "../drivers.js";
import { readAll, readJson } from "/js/data.js";

const { pages, cannot_draw: cannotDraw } = drivers.orthanc;
export { cannotDraw };

// Up to here each image is asked for its place in the series; longer series keep the server's order.
const sortedSeriesAtMost = 200;
// Up to here all series of a study are read first and sorted by number.
const sortedStudyAtMost = 400;

const modalities = {
    CR: "Computed radiography",
    CT: "Computed tomography",
    DX: "Digital radiography",
    GM: "General microscopy",
    MG: "Mammography",
    MR: "Magnetic resonance",
    NM: "Nuclear medicine",
    OP: "Ophthalmic photography",
    OT: "Other",
    PT: "Positron emission tomography",
    PX: "Panoramic X-ray",
    RF: "Radio fluoroscopy",
    SM: "Slide microscopy",
    US: "Ultrasound",
    XA: "X-ray angiography",
    XC: "Photography",
};

function address(page, id) {
    return pages[page].replace("{id}", id);
}

export function isId(text) {
    return typeof text === "string" && /^[0-9a-f]{8}(-[0-9a-f]{8}){4}$/.test(text);
}

export function modalityName(code) {
    return modalities[code] ?? code;
}

export async function study(id) {
    const answer = await readJson(address("study", id));
    const tags = answer.MainDicomTags ?? {};
    const ids = answer.Series ?? [];
    const series =
        ids.length > sortedStudyAtMost
            ? ids.map((one) => ({ id: one, title: "Series", images: null, maybeSlide: true }))
            : (await readAll(ids, (one) => readJson(address("series", one)))).sort(bySeriesNumber).map(described);
    const date = tags.StudyDate ?? "";
    return {
        id,
        title: tags.StudyDescription,
        date: /^\d{8}$/.test(date) ? `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : "",
        modalities: [...new Set(series.map((one) => one.modality).filter(Boolean))],
        series,
    };
}

export async function series(id) {
    return described(await readJson(address("series", id)));
}

function described(answer) {
    const tags = answer.MainDicomTags ?? {};
    return {
        id: answer.ID,
        title: seriesTitle(answer),
        modality: tags.Modality,
        images: answer.Instances ?? [],
        maybeSlide: (tags.Modality ?? "SM") === "SM",
    };
}

function seriesTitle(answer) {
    const tags = answer.MainDicomTags ?? {};
    return (
        tags.SeriesDescription || tags.ProtocolName || (tags.SeriesNumber ? `Series ${tags.SeriesNumber}` : "Series")
    );
}

function bySeriesNumber(one, other) {
    const number = (answer) => Number(answer.MainDicomTags?.SeriesNumber || Infinity);
    return (
        number(one) - number(other) || seriesTitle(one).localeCompare(seriesTitle(other), undefined, { numeric: true })
    );
}

export async function images(ofSeries) {
    const ids = ofSeries.images;
    if (ids.length < 2 || ids.length > sortedSeriesAtMost) return ids;
    const answers = await readAll(ids, (id) => readJson(address("image", id)));
    const place = (answer) => Number(answer.IndexInSeries ?? answer.MainDicomTags?.InstanceNumber ?? Infinity);
    return answers.sort((one, other) => place(one) - place(other) || 0).map((answer) => answer.ID);
}

export async function seriesOf(image) {
    return (await readJson(address("image", image))).ParentSeries;
}

// The small rendering is black where a deep greyscale image names no window: the importer has found out of which series
// that is so. The picture stretches the grey values.
export function thumbnail(image, ofSeries, known) {
    return address(known.stretched?.includes(ofSeries.id) ? "picture" : "thumbnail", image);
}

export function picture(image) {
    return address("picture", image);
}

export function metadata(image) {
    return readJson(address("metadata", image));
}

export async function studyOf(seriesId) {
    return (await readJson(address("series", seriesId))).ParentStudy;
}

export async function slideOf(studyId) {
    return (await readJson(address("study", studyId))).Series[0];
}

// Orthanc counts levels from 0 = full resolution, the gallery from 0 = smallest.
export async function tileSource(seriesId) {
    let pyramid;
    try {
        pyramid = await readJson(address("pyramid", seriesId));
    } catch (error) {
        if (error.status === 404) return null;
        throw error;
    }
    const last = pyramid.Sizes.length - 1;
    const levels = pyramid.Sizes.map((_, level) => ({
        columns: pyramid.TilesCount[level][0],
        rows: pyramid.TilesCount[level][1],
        tileWidth: pyramid.TilesSizes[level][0],
        tileHeight: pyramid.TilesSizes[level][1],
        scale: scale(pyramid.Resolutions[level]),
    }));
    return {
        width: pyramid.TotalWidth,
        height: pyramid.TotalHeight,
        levels: levels.reverse(),
        tile: (level, x, y) =>
            address("tile", pyramid.ID)
                .replace("{level}", last - level)
                .replace("{x}", x)
                .replace("{y}", y),
    };
}

// A level's size is rounded up to whole pixels and the rest of its last line is padding. The exact scale cuts it off.
function scale(factor) {
    const power = 2 ** Math.round(Math.log2(factor));
    return 1 / (Math.abs(factor / power - 1) < 0.02 ? power : factor);
}
