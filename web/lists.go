package web

import (
	"net/http"
	"net/url"
	"strconv"

	"postern/store"
)

// listSize is how many rows of people, mailboxes or ledger entries a page shows.
const listSize = 50

// A list is what a page of a numbered list needs to say where in it we are.
type list struct {
	Text     string
	Total    int
	From, To int
	Previous string // addresses of its neighbours, "" at the ends
	Next     string
}

// readList reads ?q= and ?page= as a query to the store.
func readList(r *http.Request) store.ListQuery {
	page := max(1, number64(r.URL.Query().Get("page")))
	return store.ListQuery{Text: r.URL.Query().Get("q"), Limit: listSize, Offset: int(page-1) * listSize}
}

// maxPage bounds what may be asked for by hand.
const maxPage = 1 << 20

// number64 reads a number that a person may have typed over; a bad one is 0.
func number64(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return min(n, maxPage)
}

// newList describes the page that q asked for, of which shown rows came.
func newList(r *http.Request, text string, offset, shown, total int) list {
	l := list{Text: text, Total: total, From: offset + 1, To: offset + shown}
	to := func(page int) string {
		q := url.Values{}
		for key, values := range r.URL.Query() {
			q[key] = values
		}
		q.Set("page", strconv.Itoa(page))
		return r.URL.Path + "?" + q.Encode()
	}
	page := offset/listSize + 1
	if page > 1 {
		l.Previous = to(page - 1)
	}
	if l.To < total && shown > 0 {
		l.Next = to(page + 1)
	}
	return l
}
