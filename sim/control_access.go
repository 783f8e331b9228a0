package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"postern/mail"
)

// accessControl adds to the control face what concerns access.
func (x *Exchange) accessControl(mux *http.ServeMux) {
	mux.HandleFunc("GET /requests", x.controlRequests)
	mux.HandleFunc("POST /forget", func(http.ResponseWriter, *http.Request) { x.ForgetRequests() })
	mux.HandleFunc("POST /govern", ordered(x.orderGovernance))
	mux.HandleFunc("POST /share", ordered(x.orderShare))
	mux.HandleFunc("POST /group", ordered(x.orderGroup))
	mux.HandleFunc("POST /account", ordered(x.orderAccount))
	mux.HandleFunc("POST /logon", ordered(x.SetLogOn))
	mux.HandleFunc("POST /discover", ordered(x.orderDiscovery))
}

// accessHelp is what the control face says of it.
const accessHelp = `GET  /requests the latest requests, one JSON object a line: who, from where, by which scheme, to what
POST /forget   forget them
POST /govern   who may use EWS: {"mailbox": "", "ews_enabled": true, "policy": "EnforceAllowList", "programs": ["Name/*"]}; no mailbox = the organization
POST /share    rights of a delegate: {"mailbox": "ann@company.example", "delegate": "svc", "level": "Reviewer", "folders": ["inbox"]}; no folders = all
POST /group    {"address": "crm@company.example", "name": "CRM users", "members": ["ann@company.example"]}; "remove": true ends it
POST /account  add or replace: {"login": "svc", "password": "…", "scope": [], "groups": [], "no_role": false, "certificates": []}
POST /logon    how to sign in: {"schemes": ["NTLM", "Basic"], "protection": "require"}
POST /discover what Autodiscover says: {"for": "@company.example", "redirect_address": "…", "location": "…", "hops": 100, …}; {"forget": true} = the truth
`

// ordered makes a handler of what is done with a JSON object.
func ordered[T any](carry func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var v T
		in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
		in.DisallowUnknownFields()
		err := in.Decode(&v)
		if err == nil {
			err = carry(v)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

func (x *Exchange) controlRequests(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	for _, r := range x.Requests() {
		if out.Encode(r) != nil {
			return // the client went away
		}
	}
}

func (x *Exchange) orderGovernance(o struct {
	Mailbox mail.Address `json:"mailbox"`
	Governance
}) error {
	if o.Mailbox == "" {
		return x.Govern(o.Governance)
	}
	box, err := x.mailbox(o.Mailbox)
	if err != nil {
		return err
	}
	return box.Govern(o.Governance)
}

func (x *Exchange) mailbox(address mail.Address) (*Mailbox, error) {
	if box := x.Mailbox(address); box != nil {
		return box, nil
	}
	return nil, fmt.Errorf("there is no mailbox %s", address)
}

func (x *Exchange) orderShare(o struct {
	Mailbox  mail.Address `json:"mailbox"`
	Delegate string       `json:"delegate"`
	Level    Level        `json:"level"`
	Folders  []Role       `json:"folders"`
}) error {
	box, err := x.mailbox(o.Mailbox)
	if err != nil {
		return err
	}
	var folders []*Folder
	for _, role := range o.Folders {
		folders = append(folders, box.Folder(role))
	}
	return box.Share(o.Delegate, o.Level, folders...)
}

func (x *Exchange) orderGroup(o struct {
	Group
	Remove bool `json:"remove"`
}) error {
	switch {
	case o.Address == "":
		return errors.New("the group has no address")
	case o.Remove:
		x.RemoveGroup(o.Address)
	default:
		x.SetGroup(o.Group)
	}
	return nil
}

func (x *Exchange) orderAccount(a Account) error {
	if a.Login == "" {
		return errors.New("the account has no login")
	}
	x.AddAccount(a)
	return nil
}

func (x *Exchange) orderDiscovery(o struct {
	For    string `json:"for"`
	Forget bool   `json:"forget"`
	Discovery
}) error {
	if o.Forget {
		x.ForgetDiscoveries()
		return nil
	}
	x.Discover(o.For, o.Discovery)
	return nil
}
