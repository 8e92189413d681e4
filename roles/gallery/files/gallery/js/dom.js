// Small helpers for building pages. Data reaches a page only as text nodes and checked URLs, never as markup.

/**
 * Make an element. Attributes: `class` and others as they are, `on…` functions as listeners, false and null left out.
 * @param {string} name
 * @param {Object<string, string|number|boolean|Function|null>} attributes
 * @param {...(Node|string|null|false)} children strings become text nodes
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (value === false || value === null || value === undefined) continue;
        if (typeof value === "function") made.addEventListener(key.slice(2), value);
        else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return made;
}

/** A link when the text is a web address, otherwise the text alone: a `javascript:` address never becomes a link. */
export function webLink(text, label = null) {
    let url;
    try {
        url = new URL(text);
    } catch {
        return document.createTextNode(text);
    }
    if (!["http:", "https:"].includes(url.protocol)) return document.createTextNode(text);
    return element("a", { href: url.href, rel: "noopener noreferrer external" }, label ?? text);
}

/** A study's source: a link that shows the host alone, or the text of a citation. */
export function sourceLink(source) {
    let host = source;
    try {
        host = new URL(source).hostname.replace(/^www\./, "") || source;
    } catch {
        /* a citation instead of an address */
    }
    return webLink(source, host);
}

/** An address on this site, or null: images are shown from nowhere else. */
export function ownAddress(path) {
    try {
        const url = new URL(path, location.origin);
        return url.origin === location.origin ? url.pathname + url.search : null;
    } catch {
        return null;
    }
}

/** "1 image", "2,304 images" in the reader's language. */
export function count(number, one, many = `${one}s`) {
    return `${Number(number ?? 0).toLocaleString()} ${number === 1 ? one : many}`;
}

/** Modality codes as small labels; `name(code)` is what a code means. */
export function modalityLabels(codes, name) {
    return (codes ?? []).map((code) => element("abbr", { class: "label", title: name(code) }, code));
}

/** Show one message in place of what `target` holds: a heading, a sentence, perhaps a button. */
export function showState(target, { title, text = "", action = null, kind = "info" }) {
    target.replaceChildren(
        element(
            "div",
            { class: `state state-${kind}`, role: kind === "error" ? "alert" : "status" },
            element("h2", {}, title),
            text && element("p", {}, text),
            action,
        ),
    );
    target.removeAttribute("aria-busy");
}

/** Call `start(element)` once for each observed element when it comes near the visible part of the page. */
export function whenNear(start, margin = "600px") {
    const observer = new IntersectionObserver(
        (entries) => {
            for (const entry of entries.filter((candidate) => candidate.isIntersecting)) {
                observer.unobserve(entry.target);
                start(entry.target);
            }
        },
        { rootMargin: margin },
    );
    return observer;
}
