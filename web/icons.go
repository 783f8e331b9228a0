package web

import "html/template"

// icons are drawn by us on a grid of 16, with lines only.
var icons = map[string]string{
	"home":     `<path d="M2.5 7.2 8 2.7l5.5 4.5V13a.6.6 0 0 1-.6.6H9.8V9.8H6.2v3.8H3.1a.6.6 0 0 1-.6-.6z"/>`,
	"mail":     `<rect x="2" y="3.3" width="12" height="9.4" rx="1.4"/><path d="m2.4 4.4 5.6 4.3 5.6-4.3"/>`,
	"contact":  `<circle cx="8" cy="5.3" r="2.7"/><path d="M2.9 13.6c.5-2.7 2.5-4.2 5.1-4.2s4.6 1.5 5.1 4.2"/>`,
	"users":    `<circle cx="6" cy="5.6" r="2.3"/><path d="M1.7 13c.4-2.3 2.1-3.7 4.3-3.7s3.9 1.4 4.3 3.7"/><path d="M10.5 3.5a2.2 2.2 0 0 1 0 4.2M12 9.7c1.3.5 2.1 1.7 2.4 3.3"/>`,
	"inbox":    `<path d="M3.8 3.2h8.4l1.8 5.6v3a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1v-3z"/><path d="M2.2 8.8h3.5l.9 1.7h2.8l.9-1.7h3.5"/>`,
	"question": `<circle cx="8" cy="8" r="6"/><path d="M6.3 6.4c0-1 .8-1.7 1.7-1.7s1.7.7 1.7 1.6c0 1.2-1.7 1.3-1.7 2.5"/><path d="M8 11.1v.1"/>`,
	"gear":     `<circle cx="8" cy="8" r="2"/><path d="M8 1.8v2M8 12.2v2M1.8 8h2M12.2 8h2M3.6 3.6 5 5M11 11l1.4 1.4M12.4 3.6 11 5M5 11l-1.4 1.4"/>`,
	"search":   `<circle cx="7" cy="7" r="4.3"/><path d="m10.3 10.3 3.4 3.4"/>`,
	"check":    `<path d="m3 8.6 3.2 3.2L13 4.6"/>`,
	"alert":    `<path d="M8 2.3 14.3 13H1.7z"/><path d="M8 6.4v3M8 11.2v.1"/>`,
	"bolt":     `<path d="M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z"/>`,
	"hold":     `<path d="M4 2.3h8M4 13.7h8M5 2.3V5l3 3-3 3v2.7M11 2.3V5L8 8l3 3v2.7"/>`,
	"clock":    `<circle cx="8" cy="8" r="6"/><path d="M8 4.6V8l2.3 1.5"/>`,
	"pause":    `<circle cx="8" cy="8" r="6"/><path d="M6.5 5.8v4.4M9.5 5.8v4.4"/>`,
	"download": `<path d="M8 2.5v7.3M4.9 6.9 8 10l3.1-3.1M3 13.3h10"/>`,
	"off":      `<circle cx="8" cy="8" r="6"/><path d="M4 12 12 4"/>`,
	"skip":     `<path d="M4.5 8h7"/>`,
	"file":     `<path d="M4 2.2h5l3 3v8.6H4z"/><path d="M9 2.2v3h3M6 8.5h4M6 10.8h4"/>`,
	"clip":     `<path d="m12.6 7.3-5 5a2.8 2.8 0 0 1-4-4l5.5-5.5a1.9 1.9 0 0 1 2.7 2.7L6.5 10.7a.9.9 0 0 1-1.3-1.3l4.5-4.5"/>`,
	"thread":   `<path d="M3 4h10M3 8h7M3 12h4"/>`,
	"in":       `<path d="M12.5 3.5 4 12M4 5.5V12h6.5"/>`,
	"out":      `<path d="M3.5 12.5 12 4M5.5 4H12v6.5"/>`,
	"arrow":    `<path d="M3 8h9.5M9 4.5 12.5 8 9 11.5"/>`,
	"back":     `<path d="M13 8H3.5M7 4.5 3.5 8 7 11.5"/>`,
	"refresh":  `<path d="M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3"/>`,
	"close":    `<path d="m4 4 8 8M12 4l-8 8"/>`,
	"plus":     `<path d="M8 3v10M3 8h10"/>`,
	"image":    `<rect x="2" y="3" width="12" height="10" rx="1.4"/><circle cx="5.7" cy="6.4" r="1.1"/><path d="m2.5 11.8 3.7-3 2.3 1.8 2.5-2.3 2.6 2.4"/>`,
	"key":      `<circle cx="5" cy="11" r="2.7"/><path d="m7 9 6-6M10.2 5.8l2 2M12 4l1.4 1.4"/>`,
	"lock":     `<rect x="3.5" y="7" width="9" height="6.5" rx="1.2"/><path d="M5.5 7V5a2.5 2.5 0 0 1 5 0v2"/>`,
}

// icon returns a drawing; words stand beside it, so that readers of the screen skip it.
func icon(name string) template.HTML {
	return template.HTML(`<svg class="icon icon-` + template.HTMLEscapeString(name) + `" viewBox="0 0 16 16" aria-hidden="true">` + icons[name] + `</svg>`)
}
