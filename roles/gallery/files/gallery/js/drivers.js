// The drivers of this site's image servers. Each draws its own studies: docs/drivers.md says what a driver.js answers.
// /drivers/drivers.js is written by role gallery, in the order of the site file.
import { drivers } from "/drivers/drivers.js";
import { RequestError } from "./data.js";

const names = Object.keys(drivers);

/** The driver of a study of the catalogue, null for one that the site has no longer. */
export async function driverOf(study) {
    // The catalogue of an older site names none.
    const name = study.driver ?? names[0];
    // Only what the site itself names is ever imported.
    if (!Object.hasOwn(drivers, name)) return null;
    return { name, ...(await import(`/drivers/${name}/driver.js`)) };
}

/**
 * Read something by its id with the driver that `name` names, without a name with the first that knows it.
 * `read(driver)` returns null, or throws a RequestError 404, where there is nothing of this id.
 * @returns {Promise<[object, *]>} the driver, and what was read
 */
export async function readById(id, name, read) {
    let reason = new RequestError(0);
    reason.incomplete = true;
    for (const candidate of name ? [name] : names) {
        try {
            const driver = await driverOf({ driver: candidate });
            if (!driver?.isId(id)) continue;
            reason = new RequestError(404);
            const found = await read(driver);
            if (found !== null) return [driver, found];
        } catch (error) {
            if (error.status !== 404) throw error;
            reason = error;
        }
    }
    throw reason;
}

/** A study's address in this gallery. */
export function studyAddress(id, driver) {
    // As gallery_pages.py names the pages; the address of a study is for good.
    if (names.length > 1 || !/^[\w~-][\w.~-]{0,199}$/.test(id)) return `/study.html?${parameters({ id }, driver)}`;
    return `/study/${id}`;
}

/** The address of a slide's deep zoom. */
export function viewerAddress(series, study, driver) {
    return `/viewer.html?${parameters({ series, study }, driver)}`;
}

// Two drivers may have the same ids; addresses of a site with one driver stay short.
function parameters(values, driver) {
    return Object.entries(names.length > 1 && driver ? { ...values, driver } : values)
        .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
        .join("&");
}
