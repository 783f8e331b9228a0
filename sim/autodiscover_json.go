package sim

import (
	"encoding/json"
	"net/http"
	"strings"

	"postern/ews"
	"postern/mail"
)

// readDiscoveryJSON reads the query, or the path that Microsoft's own scripts use.
func readDiscoveryJSON(r *http.Request) enquiry {
	q := enquiry{protocol: r.URL.Query().Get("Protocol")}
	address := r.URL.Query().Get("Email")
	if rest, ok := cutPrefixFold(r.URL.Path, pathJSON+"/v1.0/"); ok {
		address = rest
	}
	if address != "" {
		q.users = []mail.Address{addressOf(address)}
	}
	return q
}

func (c *call) answerJSON(q enquiry, d *Discovery) {
	var w whereabouts
	found := false
	if len(q.users) > 0 {
		w, found = c.locate(q.users[0], d)
	}
	switch {
	case d.Error != "":
		c.jsonError(http.StatusBadRequest, d.Error, "The request was refused.")
	case d.RedirectURL != "":
		c.sendTo(d.RedirectURL)
	case d.RedirectAddress != "":
		c.sendTo(c.here("Email=" + string(d.RedirectAddress)))
	case len(q.users) == 0:
		c.jsonError(http.StatusBadRequest, "MissingParameter", "The Email parameter is missing.")
	case q.protocol == "":
		c.jsonError(http.StatusBadRequest, "MandatoryParameterMissing", "A valid value must be provided for the query parameter 'Protocol'.")
	case !strings.EqualFold(q.protocol, "EWS"):
		c.jsonError(http.StatusBadRequest, "InvalidProtocol", "The given protocol value '"+q.protocol+"' is invalid. Supported values are 'EWS'.")
	case !found:
		c.jsonError(http.StatusNotFound, "UserNotFound", "The given user is not found.")
	default:
		c.json(http.StatusOK, ews.DiscoveredURL{Protocol: "EWS", URL: w.external})
	}
}

func (c *call) jsonError(status int, code, text string) {
	c.record.Code = code
	c.json(status, ews.DiscoveredURL{ErrorCode: code, ErrorMessage: text})
}

func (c *call) json(status int, v ews.DiscoveredURL) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings can be written
	}
	c.write(status, "application/json; charset=utf-8", text)
}
