// Whole slides: what a driver's tileSource() describes, as a picture and for OpenSeadragon.
// Levels count from 0 = smallest. Tiles at the right and lower edge have full size and are padded; what lies outside the
// level must not be shown.
import { element } from "./dom.js";

/** The options of an OpenSeadragon tile source. */
export function openSeadragonSource(source) {
    const { width, height, levels } = source;
    return {
        width,
        height,
        minLevel: 0,
        maxLevel: levels.length - 1,
        tileOverlap: 0,
        getLevelScale: (level) => levels[level].scale,
        getNumTiles: (level) => new OpenSeadragon.Point(levels[level].columns, levels[level].rows),
        getTileWidth: (level) => levels[level].tileWidth,
        getTileHeight: (level) => levels[level].tileHeight,
        getTileUrl: source.tile,
    };
}

function pixels(source, level) {
    return [source.width, source.height].map((size) => Math.max(1, Math.floor(size * source.levels[level].scale)));
}

/** The largest level that fits into `size` pixels and needs at most `tiles` requests, else the smallest. */
export function overviewLevel(source, size = 1024, tiles = 16) {
    return source.levels.reduce(
        (best, { columns, rows }, level) =>
            Math.max(...pixels(source, level)) <= size && columns * rows <= tiles ? level : best,
        0,
    );
}

/** The whole slide as one canvas, put together from one level's tiles. */
export async function overview(source, label) {
    const level = overviewLevel(source);
    const [width, height] = pixels(source, level);
    const { columns, rows, tileWidth, tileHeight } = source.levels[level];
    const canvas = element("canvas", { width, height, role: "img", "aria-label": label });
    const context = canvas.getContext("2d");
    const places = Array.from({ length: columns * rows }, (_, index) => [index % columns, Math.floor(index / columns)]);
    await Promise.all(
        places.map(async ([x, y]) => {
            const tile = new Image();
            tile.src = source.tile(level, x, y);
            await tile.decode();
            context.drawImage(tile, x * tileWidth, y * tileHeight);
        }),
    );
    return canvas;
}
