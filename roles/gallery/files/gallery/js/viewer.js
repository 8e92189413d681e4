// Deep zoom of one whole slide with OpenSeadragon (a classic script: the global OpenSeadragon).
import { count, showState } from "./dom.js";
import { readCatalogue, showFailure, showSite } from "./data.js";
import { readById, studyAddress } from "./drivers.js";
import { openSeadragonSource } from "./pyramid.js";

const place = document.querySelector("#slide");
const parameters = new URLSearchParams(location.search);
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

async function start() {
    const series = parameters.get("series");
    showState(place, { kind: "loading", title: "Loading the slide …" });
    let driver;
    let source;
    try {
        [driver, source] = await readById(series, parameters.get("driver"), (one) => one.tileSource(series));
    } catch (error) {
        if (error.incomplete)
            showState(place, { kind: "error", title: "The slide was not found", text: "The address is not complete." });
        else showFailure(place, error, "The slide", start);
        return;
    }
    place.replaceChildren();
    document.querySelector("#size").textContent =
        `${source.width.toLocaleString()} × ${source.height.toLocaleString()} pixels, ` +
        count(source.levels.length, "level");
    open(source);
    describe(driver, series);
}

async function describe(driver, series) {
    try {
        const study = parameters.get("study") ?? (await driver.studyOf(series));
        document.querySelector("#back").href = studyAddress(study, driver.name);
        const { site, studies } = await readCatalogue();
        const title = studies.find((candidate) => candidate.id === study)?.title || "Deep zoom";
        document.querySelector("#title").textContent = title;
        showSite(site, title);
    } catch {
        /* the slide itself is what matters here */
    }
}

function open(source) {
    const viewer = OpenSeadragon({
        element: place,
        tileSources: openSeadragonSource(source),
        drawer: "canvas",
        showNavigationControl: false,
        showNavigator: true,
        navigatorPosition: "BOTTOM_RIGHT",
        navigatorAutoFade: false,
        navigatorSizeRatio: 0.16,
        animationTime: still ? 0 : 0.7,
        immediateRender: still,
        maxZoomPixelRatio: 2,
        minZoomImageRatio: 0.8,
        visibilityRatio: 0.6,
        zoomPerClick: 2,
        tileRetryMax: 4,
        tileRetryDelay: 1500,
        timeout: 60000,
        gestureSettingsMouse: { clickToZoom: true, dblClickToZoom: false },
        tabIndex: 0,
    });
    viewer.canvas.setAttribute("role", "application");
    viewer.canvas.setAttribute("aria-label", "Whole slide");
    viewer.canvas.setAttribute("aria-describedby", "keys");
    viewer.navigator.element.setAttribute("aria-hidden", "true");
    viewer.navigator.element.removeAttribute("tabindex");
    for (const inner of viewer.navigator.element.querySelectorAll("[tabindex]")) inner.setAttribute("tabindex", "-1");

    const zoomBy = (factor) => {
        viewer.viewport.zoomBy(factor, undefined, still);
        viewer.viewport.applyConstraints(still);
    };
    const actions = {
        in: () => zoomBy(2),
        out: () => zoomBy(0.5),
        home: () => viewer.viewport.goHome(still),
        full: () =>
            document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.(),
    };
    document.querySelector(".viewer-tools").addEventListener("click", (event) => {
        actions[event.target.closest("[data-do]")?.dataset.do]?.();
    });

    // The keys work wherever the focus is; OpenSeadragon itself listens only on its canvas.
    const pan = (x, y) => {
        const step = viewer.viewport.getBounds().width * 0.15;
        viewer.viewport.panBy(new OpenSeadragon.Point(x * step, y * step), still);
        viewer.viewport.applyConstraints(still);
    };
    const keys = {
        "+": actions.in,
        "=": actions.in,
        "-": actions.out,
        0: actions.home,
        ArrowLeft: () => pan(-1, 0),
        ArrowRight: () => pan(1, 0),
        ArrowUp: () => pan(0, -1),
        ArrowDown: () => pan(0, 1),
    };
    viewer.innerTracker.keyDownHandler = null;
    viewer.innerTracker.keyHandler = null;
    addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
        event.preventDefault();
        keys[event.key]();
    });

    const shown = document.querySelector("#zoom");
    const showZoom = () => {
        const pixels = viewer.viewport.viewportToImageZoom(viewer.viewport.getZoom(false)) * 100;
        shown.textContent = `${pixels < 10 ? pixels.toFixed(1) : Math.round(pixels)} %`;
    };
    viewer.addHandler("zoom", showZoom);
    viewer.addHandler("open", () => {
        restore(viewer);
        showZoom();
    });
    viewer.addHandler("animation-finish", () => remember(viewer));
    addEventListener("hashchange", () => restore(viewer));
    let failures = 0;
    viewer.addHandler("tile-load-failed", () => {
        failures += 1;
        document.body.classList.toggle("tiles-missing", failures > 0);
    });
    viewer.addHandler("tile-loaded", () => {
        failures = 0;
        document.body.classList.remove("tiles-missing");
    });
}

// The view is in the address, so that a place on a slide can be sent to a colleague.
function remember(viewer) {
    const centre = viewer.viewport.getCenter();
    const zoom = viewer.viewport.getZoom();
    const view = new URLSearchParams({ zoom: zoom.toFixed(3), x: centre.x.toFixed(5), y: centre.y.toFixed(5) });
    history.replaceState(null, "", `#${view}`);
}

function restore(viewer) {
    const view = new URLSearchParams(location.hash.slice(1));
    const [zoom, x, y] = ["zoom", "x", "y"].map((name) => Number.parseFloat(view.get(name)));
    if (![zoom, x, y].every(Number.isFinite)) return;
    viewer.viewport.panTo(new OpenSeadragon.Point(x, y), true);
    viewer.viewport.zoomTo(zoom, undefined, true);
    viewer.viewport.applyConstraints(true);
}

start();
