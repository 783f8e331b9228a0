package ews

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
)

// A DiscoveredURL answers autodiscover in its newest form, which asks for no log-on: a URL,
// or an error.
//
// https://learn.microsoft.com/en-us/troubleshoot/microsoftteams/teams-exchange-interaction-issue
type DiscoveredURL struct {
	Protocol     string `json:"Protocol,omitempty"` // "EWS"
	URL          string `json:"Url,omitempty"`
	ErrorCode    string `json:"ErrorCode,omitempty"` // "UserNotFound", "ProtocolNotSupported", …
	ErrorMessage string `json:"ErrorMessage,omitempty"`
}

// JSONEndpoint is where a host tells the EWS endpoint of a mailbox.
func JSONEndpoint(host, address string) string {
	u := url.URL{Scheme: "https", Host: host, Path: "/autodiscover/autodiscover.json",
		RawQuery: url.Values{"Email": {address}, "Protocol": {"EWS"}}.Encode()}
	return u.String()
}

// ReadDiscoveredURL reads an answer.
func ReadDiscoveredURL(r io.Reader) (*DiscoveredURL, error) {
	v := new(DiscoveredURL)
	if err := json.NewDecoder(r).Decode(v); err != nil {
		return nil, fmt.Errorf("autodiscover answer: %w", err)
	}
	return v, nil
}
