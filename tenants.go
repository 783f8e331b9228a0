package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/crm"
	"postern/store"
)

// newOrgEvery is how soon an organization that was added is served, at the latest, and
// startAgainEvery how often one that could not be started is tried again.
const (
	newOrgEvery     = 2 * time.Second
	startAgainEvery = time.Minute
)

// tenants runs one program for each organization of the data folder, and leads each request
// to the pages of its own. They share nothing but the database and the pace that servers
// are asked at.
type tenants struct {
	st    *store.Store
	log   *slog.Logger
	start func(ctx context.Context, o store.Organization) (*program, error)

	mu       sync.RWMutex
	multi    bool
	programs map[string]*program  // by name of the organization
	failed   map[string]time.Time // when one could not be started; for look alone
	wg       sync.WaitGroup
}

// look starts a program for each organization that has none, and learns for whom the
// installation is. One that cannot be started keeps none of the others from it.
func (t *tenants) look(ctx context.Context) error {
	d, err := t.st.Deployment(ctx)
	if err != nil {
		return err
	}
	list, err := t.st.Orgs(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.multi = d.Mode == crm.MultiTenant
	t.mu.Unlock()
	var failed []error
	for _, o := range list {
		t.mu.RLock()
		running := t.programs[o.Name] != nil
		t.mu.RUnlock()
		if running || time.Since(t.failed[o.Name]) < startAgainEvery {
			continue
		}
		p, err := t.start(ctx, o)
		if err != nil {
			failed = append(failed, fmt.Errorf("start organization %s: %w", o.Name, err))
			t.failed[o.Name] = time.Now()
			continue
		}
		t.mu.Lock()
		t.programs[o.Name] = p
		t.mu.Unlock()
		t.wg.Go(func() { p.run(ctx) })
	}
	return errors.Join(failed...)
}

// begin looks for the first time. That an organization cannot be started is an error only
// where there is no other.
func (t *tenants) begin(ctx context.Context) error {
	err := t.look(ctx)
	t.mu.RLock()
	defer t.mu.RUnlock()
	if err != nil && len(t.programs) > 0 {
		t.log.Error("organizations are not served", "err", err)
		return nil
	}
	return err
}

// follow looks for new organizations until ctx ends, and waits for what was started.
func (t *tenants) follow(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(newOrgEvery):
			if err := t.look(ctx); err != nil && ctx.Err() == nil {
				t.log.Error("organizations are not served", "err", err)
			}
		}
	}
	t.wg.Wait()
}

// where says at which addresses the pages are.
func (t *tenants) where(l net.Addr) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.multi {
		return "http://" + l.String()
	}
	_, port, _ := net.SplitHostPort(l.String())
	var list []string
	for _, name := range slices.Sorted(maps.Keys(t.programs)) {
		list = append(list, "http://"+name+".localhost:"+port)
	}
	return strings.Join(list, ", ")
}

// ServeHTTP leads to the organization that the host name begins with: acme.HOST is acme's. An
// installation for one organization answers under every name.
func (t *tenants) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := t.find(r.Host); p != nil {
		p.pages.ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Not found</title><h1>Not found</h1>\n") // the reader may have left
}

// find returns the program for a host; nil when it is nobody's.
func (t *tenants) find(host string) *program {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.multi {
		for _, p := range t.programs {
			return p // the only one
		}
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	label, rest, dotted := strings.Cut(strings.ToLower(host), ".")
	if !dotted || rest == "" || net.ParseIP(host) != nil {
		return nil
	}
	return t.programs[label]
}
