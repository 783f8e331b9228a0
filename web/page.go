package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"

	"postern/crm"
)

//go:embed templates
var templateFiles embed.FS

// pages holds the parsed templates by name. Each is the layout with one page in it.
type pages struct{ byName map[string]*template.Template }

// bare pages have a layout of their own: there is no rail for a stranger.
var bare = map[string]string{"sign-in": "door", "problem-outside": "door", "share": "leaf"}

func parsePages(now func() time.Time, assets *assets) (*pages, error) {
	base, err := template.New("").Funcs(wordFuncs(now)).Funcs(template.FuncMap{"asset": assets.url, "icon": icon, "field": newField, "accessTabs": accessTabs, "gist": gist}).ParseFS(templateFiles, "templates/parts/*.html")
	if err != nil {
		return nil, err
	}
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	p := &pages{byName: map[string]*template.Template{}}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if t, err = t.ParseFS(templateFiles, path.Join("templates", e.Name())); err != nil {
			return nil, err
		}
		p.byName[strings.TrimSuffix(e.Name(), ".html")] = t
	}
	return p, nil
}

// A page is what the layout needs besides the page's own data.
type page struct {
	Title  string
	Place  string // the entry of the rail that it belongs to
	Crumbs []crumb
	Query  string // what the search field holds
	Full   bool   // fills the window instead of scrolling on a sheet
	Data   any

	Deciding int // changes that wait and are what the page is about

	// Set by show.
	Viewer     *crm.User
	Pulse      pulse
	Unread     int
	Banner     banner
	Quarantine int
	Proposals  int // other changes that wait for a second person
}

type crumb struct{ Title, URL string }

// show renders a page. It is rendered as a whole before the first byte is sent, so that
// an error in it becomes an error page and not half a page.
func (s *server) show(w http.ResponseWriter, r *http.Request, status int, name string, p page) error {
	t := s.pages.byName[name]
	if t == nil {
		return fmt.Errorf("no page %q", name)
	}
	p.Viewer = viewerOf(r)
	layout := "layout"
	if alone := bare[name]; alone != "" {
		layout = alone
	} else if err := s.frame(r, &p); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, layout, p); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the reader may have left
	return nil
}
