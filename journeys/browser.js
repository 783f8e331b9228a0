// What all journeys share: the browser, signing in, waiting for what collecting brings.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

// Where the demonstration is, as "postern demo --url-file" wrote it.
export const demo = JSON.parse(process.env.POSTERN_DEMO ?? "{}");

export const settings = "/system/configuration/integrations/email";

// A new browser with an empty profile, which can reach this machine alone. What it was
// asked to fetch from elsewhere is in strayed.
export async function open(t, options = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.POSTERN_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
  t.after(() => browser.close());
  const context = await browser.newContext({ baseURL: demo.url, viewport: { width: 1360, height: 860 }, ...options });
  context.setDefaultTimeout(60_000); // a busy machine takes its time
  const strayed = [];
  context.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(demo.url) && !url.startsWith("data:") && url !== "about:blank") strayed.push(url);
  });
  const page = await context.newPage();
  return { context, page, strayed };
}

export async function signIn(page, user = demo.user, password = demo.password) {
  await page.goto("/sign-in");
  await page.getByLabel("E-mail address").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
}

// Asks again until the answer is truthy. What has not come after three minutes never comes.
export async function until(ask, pause = 250) {
  for (const late = performance.now() + 180_000; ;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(performance.now() < late, `it did not come: ${ask}`);
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

// What the API answers to whoever is signed in on the page.
export async function api(page, path, options) {
  const answer = await page.request.fetch(path, options);
  return { status: answer.status(), body: await answer.json() };
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// What of the page, as it stands, people with another body than its makers cannot use.
export async function barriers(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  return violations.map((v) => `${new URL(page.url()).pathname} ${v.id}: ${v.nodes.map((n) => n.target.join(" ") + " " + (n.any[0]?.message ?? "")).join("; ")}`);
}
