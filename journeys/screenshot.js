// Takes a picture of a page of a running demonstration:
//
//	POSTERN_DEMO="$(cat url.json)" node screenshot.js FILE.png [SEARCH]
//
// It shows My Emails with the message that SEARCH finds first, else the newest one.
import { api, open, signIn } from "./browser.js";

const [file, search] = process.argv.slice(2);
const closers = [];
const { page } = await open({ after: (close) => closers.push(close) }, { deviceScaleFactor: 1.5 });
try {
  await signIn(page);
  const path = search ? "/api/mails?q=" + encodeURIComponent(search) : "/api/mails";
  const { body } = await api(page, path);
  await page.goto("/mails?message=" + body.items[0].message);
  await page.waitForLoadState("networkidle");
  await page.screenshot({ path: file });
} finally {
  for (const close of closers) await close();
}
