package web

import (
	"net/http"
	"testing"
)

// Each tab leads to a page of its own, which marks it and has its name; nobody but administrators sees one.
func TestAccessTabs(t *testing.T) {
	s := newFilledSite(t)
	for _, p := range accessPages {
		s.expect(ann, accessURL(p.name), `<a href="`+accessURL(p.name)+`" aria-current="page">`+p.title+`</a>|class="place" href="/access" aria-current="page"|<h1>`+p.title+`|<title>`+p.title+` ·`, "")
		if r := s.get(bob, accessURL(p.name)); r.StatusCode != http.StatusForbidden {
			t.Errorf("Bob asks for %s: status %d", accessURL(p.name), r.StatusCode)
		}
	}
	if r := s.get(ann, "/access"); r.Header.Get("Location") != accessURL("policy") {
		t.Errorf("/access leads to %q", r.Header.Get("Location"))
	}
}
