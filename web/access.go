package web

import (
	"net/http"

	"postern/report"
)

// accessPages are the pages about access to Exchange, in the order in which it is set up
// and looked after. They share one place of the rail, "access", and a bar of tabs:
// {{template "access-tabs" .Tab}}, where Tab is the last word of the page's address.
var accessPages = [...]struct{ name, title string }{
	{"policy", "Policy"},
	{"addresses", "Addresses"},
	{"log", "Access log"},
	{"audit", "Audit"},
	{"check", "Check"},
	{"exchange", "For the Exchange admin"},
	{"evidence", "Evidence"},
}

func accessURL(name string) string { return "/access/" + name }

// accessTabs returns the tabs; the one with that name is the current one.
func accessTabs(current string) []tab {
	var tabs []tab
	for _, p := range accessPages {
		tabs = append(tabs, tab{p.title, accessURL(p.name), p.name == current})
	}
	return tabs
}

func (s *server) accessRoutes(on func(pattern string, who role, do action)) {
	on("GET /access", administrator, s.access)
	s.checkRoutes(on)
	s.exchangeRoutes(on)
	on("GET /access/log", administrator, s.accessLog)
	on("GET /access/log.csv", administrator, s.exportAccess(report.CSV))
	on("GET /access/log.json", administrator, s.exportAccess(report.JSON))
	on("POST /access/log/retention", administrator, s.saveAccessRetention)
	on("GET /access/evidence", administrator, s.accessEvidence)
	on("GET /access/evidence.html", administrator, s.evidenceFile)
	on("GET /api/access/evidence", administrator, s.apiEvidence)
	on("GET /api/access/log", administrator, s.apiAccessLog)
	on("GET /api/access/log/summary", administrator, s.apiAccessSummary)
	on("PUT /api/access/log/retention", administrator, s.apiSaveAccessRetention)
}

// access leads to the first of the pages.
func (s *server) access(w http.ResponseWriter, r *http.Request) error {
	return redirectTo(accessURL(accessPages[0].name))(w, r)
}
