import assert from "node:assert/strict";
import { test } from "node:test";
import { api, open, signIn, until } from "./browser.js";

test("a hostile message runs nothing, fetches nothing and goes nowhere", async (t) => {
  const { context, page, strayed } = await open(t);
  const ran = [];
  await context.exposeBinding("ran", (_, what) => ran.push(what));
  page.on("dialog", (dialog) => { ran.push(dialog.message()); dialog.dismiss(); });
  const refused = [];
  page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) refused.push(message.text()); });
  await signIn(page);

  // Every filed message is opened: the hostile one among them must do nothing.
  const hostile = await until(async () => {
    const { body } = await api(page, "/api/search?q=&limit=500");
    for (const item of body.items) {
      const raw = await page.request.get(`/messages/${item.message}`);
      if (/remote pictures? not loaded/.test(await raw.text())) return item;
    }
  });
  await page.goto(`/messages/${hostile.message}`);
  const address = page.url();
  const frame = page.frameLocator("iframe[data-fit]");
  await frame.locator("body").waitFor();
  assert.ok((await frame.locator("body").innerText()).trim().length > 20, "the text of the message is not shown");
  for (const bad of ["script", "form", "iframe", "object", "embed", "meta[http-equiv]", "base", "link", "input"]) {
    assert.equal(await frame.locator(`body ${bad}, head ${bad}`).count(), 0, `<${bad}> is in the frame`);
  }
  const handlers = await frame.locator("*").evaluateAll((all) => all.flatMap((e) => e.getAttributeNames().filter((name) => name.startsWith("on"))));
  assert.deepEqual(handlers, []);
  for (const link of await frame.locator("a[href]").all()) assert.match(await link.getAttribute("href"), /^(https?|mailto|tel):/);
  await page.waitForLoadState("networkidle");
  assert.deepEqual(strayed, [], "requests left this machine");
  assert.deepEqual(ran, []);
  assert.equal(page.url(), address);
  assert.deepEqual(refused, [], "only the policy stopped something that should not have been there");

  // Pictures come after one click, and then nothing else does.
  await page.getByRole("link", { name: "Show", exact: true }).click();
  await until(() => strayed.length > 0);
  await page.waitForLoadState(); // pictures are asked for before they stand in the page
  const pictures = await frame.locator("img[src]").evaluateAll((all) => all.map((e) => e.src));
  for (const url of strayed) assert.ok(pictures.includes(url), `${url} is no picture of the message`);
  assert.deepEqual(ran, []);
});

test("nothing that is left out by the sanitiser could run if it were there", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  const { body } = await api(page, "/api/search?q=&limit=500");
  let framed;
  for (const item of body.items) {
    await page.goto(`/messages/${item.message}`);
    if (framed = page.frames().find((frame) => frame.url().endsWith("/body"))) break;
  }
  assert.ok(framed, "no message is shown in a frame");
  const policy = await page.evaluate(async (url) => (await fetch(url)).headers.get("Content-Security-Policy"), framed.url());
  assert.match(policy, /^sandbox [^;]*;/);
  assert.doesNotMatch(policy, /allow-scripts|allow-forms|allow-top-navigation|script-src/);
  await framed.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.owned = true";
    const box = document.createElement("div");
    box.innerHTML = '<img id="bad" src="data:image/gif;base64,xx" onerror="window.owned = true">';
    document.body.append(script, box);
  });
  await until(() => framed.evaluate(() => document.getElementById("bad").complete));
  const outcome = await framed.evaluate(() => window.owned === true);
  assert.equal(outcome, false, "a script put into the frame ran");
});
