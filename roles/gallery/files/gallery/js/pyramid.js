// Whole-slide pyramids of Orthanc: /wsi/pyramids/{series} and /wsi/tiles/{series}/{level}/{x}/{y}.
// Orthanc counts levels from 0 = full resolution; OpenSeadragon from 0 = smallest.
// Tiles at the right and lower edge have full size and are padded; what lies outside the level must not be shown.
import { element } from "./dom.js";
import { readJson } from "./data.js";

/** The pyramid of a series as Orthanc describes it; RequestError 404 when the series is no whole slide. */
export function readPyramid(series) {
    return readJson(`/wsi/pyramids/${series}`);
}

/** The address of one tile; `level` as Orthanc counts. */
export function tileAddress(series, level, x, y) {
    return `/wsi/tiles/${series}/${level}/${x}/${y}`;
}

// A level's size is rounded up to whole pixels and the rest of its last line is padding. The exact scale cuts it off.
function scale(pyramid, level) {
    const factor = pyramid.Resolutions[level];
    const power = 2 ** Math.round(Math.log2(factor));
    return 1 / (Math.abs(factor / power - 1) < 0.02 ? power : factor);
}

/** The options of an OpenSeadragon tile source for a pyramid. */
export function tileSource(pyramid) {
    const last = pyramid.Sizes.length - 1;
    const levelOf = (shown) => last - shown;
    return {
        width: pyramid.TotalWidth,
        height: pyramid.TotalHeight,
        minLevel: 0,
        maxLevel: last,
        tileOverlap: 0,
        getLevelScale: (shown) => scale(pyramid, levelOf(shown)),
        getNumTiles: (shown) => new OpenSeadragon.Point(...pyramid.TilesCount[levelOf(shown)]),
        getTileWidth: (shown) => pyramid.TilesSizes[levelOf(shown)][0],
        getTileHeight: (shown) => pyramid.TilesSizes[levelOf(shown)][1],
        getTileUrl: (shown, x, y) => tileAddress(pyramid.ID, levelOf(shown), x, y),
    };
}

/** The largest level that fits into `pixels` and needs at most `tiles` requests, else the smallest. */
export function overviewLevel(pyramid, pixels = 1024, tiles = 16) {
    const fits = pyramid.Sizes.findIndex(
        (size, level) =>
            Math.max(...size) <= pixels && pyramid.TilesCount[level][0] * pyramid.TilesCount[level][1] <= tiles,
    );
    return fits < 0 ? pyramid.Sizes.length - 1 : fits;
}

/** The whole slide as one canvas, put together from one level's tiles. */
export async function overview(pyramid, label) {
    const level = overviewLevel(pyramid);
    const [width, height] = [pyramid.TotalWidth, pyramid.TotalHeight].map((size) =>
        Math.max(1, Math.floor(size * scale(pyramid, level))),
    );
    const [tileWidth, tileHeight] = pyramid.TilesSizes[level];
    const [columns, rows] = pyramid.TilesCount[level];
    const canvas = element("canvas", { width, height, role: "img", "aria-label": label });
    const context = canvas.getContext("2d");
    const places = Array.from({ length: columns * rows }, (_, index) => [index % columns, Math.floor(index / columns)]);
    await Promise.all(
        places.map(async ([x, y]) => {
            const tile = new Image();
            tile.src = tileAddress(pyramid.ID, level, x, y);
            await tile.decode();
            context.drawImage(tile, x * tileWidth, y * tileHeight);
        }),
    );
    return canvas;
}
