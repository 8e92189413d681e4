// Everything that is read from the server: the catalogue, the image server's metadata, and the site's name.
import { element, showState } from "./dom.js";

/** An answer that is not usable; `busy` says that trying again later makes sense. */
export class RequestError extends Error {
    constructor(status) {
        super(`the server answered ${status || "nothing"}`);
        this.status = status;
        this.busy = !status || status === 429 || status >= 500;
    }
}

/** The JSON behind an address of this site; throws RequestError. */
export async function readJson(address, options = {}) {
    const ask = () => fetch(address, { headers: { Accept: "application/json" }, ...options });
    // A phone that changes from one network to another loses what is under way: once more, a moment later.
    const again = () => new Promise((done) => setTimeout(done, 1000)).then(ask);
    const answer = await ask()
        .catch(again)
        .catch(() => {
            throw new RequestError(0);
        });
    if (!answer.ok) throw new RequestError(answer.status);
    try {
        return await answer.json();
    } catch {
        throw new RequestError(502);
    }
}

/** The catalogue, always asked anew because a load replaces it: `{site: {title, …}, studies: […]}`. */
export async function readCatalogue() {
    const catalogue = await readJson("/catalogue.json", { cache: "no-cache" });
    return { site: catalogue.site ?? {}, studies: catalogue.studies ?? [] };
}

/** The results of `read(item)` for all items, in order, with at most `atOnce` requests in flight. */
export async function readAll(items, read, atOnce = 8) {
    const results = new Array(items.length);
    let next = 0;
    const worker = async () => {
        while (next < items.length) {
            const index = next++;
            results[index] = await read(items[index]);
        }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
    return results;
}

/** Write the site's title, description and contact where the page has a place for them. */
export function showSite(site, pageTitle = null) {
    const title = site.title || "Image repository";
    document.title = pageTitle ? `${pageTitle} · ${title}` : title;
    for (const place of document.querySelectorAll("[data-site=title]")) place.textContent = title;
    for (const place of document.querySelectorAll("[data-site=description]"))
        place.textContent = site.description ?? "";
    for (const place of document.querySelectorAll("[data-site=contact]")) {
        if (!/^[^\s@]+@[^\s@]+$/.test(site.contact ?? "")) continue;
        place.replaceChildren("Contact: ", element("a", { href: `mailto:${site.contact}` }, site.contact));
    }
}

/** Explain a failed request in `target`, with a button that tries again where that can help. */
export function showFailure(target, error, what, retry) {
    if (!(error instanceof RequestError)) console.error(error);
    if (error instanceof RequestError && !error.busy) {
        showState(target, {
            kind: "error",
            title: `${what} was not found`,
            text: "It may have been withdrawn, or the address is mistyped.",
            action: element("a", { class: "button", href: "/" }, "All studies"),
        });
        return;
    }
    showState(target, {
        kind: "error",
        title: "The image servers are busy",
        text: `${what} could not be read just now. Nothing is lost; please try again in a moment.`,
        action: element("button", { class: "button", type: "button", onclick: retry }, "Try again"),
    });
}
