// Thumbnails that load when they come near, wait for busy image servers, and say why when there is no picture.
import { element } from "./dom.js";

const pausesSeconds = [2, 6, 15];
const failed = new Set();

/**
 * A thumbnail in a frame of fixed proportion, so that the page does not move when it arrives.
 * @param {string|null} address on this site; null shows "No preview"
 * @param {string} alt what the picture shows
 * @param {number[]} cannotDraw the statuses by which the image server says that it cannot draw an image
 */
export function thumbnail(address, alt, cannotDraw, { lazy = true } = {}) {
    const frame = element("span", { class: "frame" });
    if (!address) {
        explain(frame, "No preview");
        return frame;
    }
    const image = element("img", { alt, width: 256, height: 256, decoding: "async", loading: lazy ? "lazy" : null });
    let attempt = 0;
    image.addEventListener("load", () => {
        frame.classList.add("loaded");
        failed.delete(image);
        report();
    });
    image.addEventListener("error", async () => {
        const status = await statusOf(address);
        if (status >= 400 && status < 500 && status !== 429) {
            explain(frame, cannotDraw.includes(status) ? "This image’s format has no preview" : "No preview", alt);
        } else if (attempt < pausesSeconds.length) {
            setTimeout(() => {
                image.src = address;
            }, pausesSeconds[attempt++] * 1000);
        } else {
            attempt = 0;
            failed.add(image);
            report();
        }
    });
    image.src = address;
    frame.append(image);
    return frame;
}

function explain(frame, text, alt = "") {
    frame.classList.add("loaded", "without-preview");
    frame.replaceChildren(alt ? element("span", { class: "visually-hidden" }, `${alt}: `) : "", text);
}

/** The status behind an address, 0 without an answer: an img element does not tell why it failed. */
export async function statusOf(address) {
    try {
        return (await fetch(address, { method: "HEAD" })).status;
    } catch {
        return 0;
    }
}

// One notice for all images that failed for good, with one button that asks for all of them again.
function report() {
    let notice = document.querySelector("#busy");
    if (!failed.size) {
        notice?.remove();
        return;
    }
    if (!notice) {
        notice = element(
            "div",
            { id: "busy", class: "notice", role: "status" },
            element("span", {}, "The image servers are busy; some pictures are missing."),
            element("button", { class: "button", type: "button", onclick: retry }, "Try again"),
        );
        document.body.append(notice);
    }
}

function retry() {
    const images = [...failed];
    failed.clear();
    report();
    for (const image of images) image.src = image.getAttribute("src");
}
