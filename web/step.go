package web

import (
	"postern/crm"
	"postern/docs"
)

// StepJSON is one step of a connection test as pages, the API and the commands have it. Parts
// is what to do again, with what is to be run set apart.
type StepJSON struct {
	State   string       `json:"state"` // ok, warn, bad, skip
	Code    string       `json:"code,omitempty"`
	Step    string       `json:"step"`
	About   string       `json:"about,omitempty"` // address of the page about the step
	Detail  string       `json:"detail,omitempty"`
	Fault   string       `json:"fault,omitempty"` // its code
	Page    string       `json:"page,omitempty"`  // address of the page about it
	For     crm.Audience `json:"for,omitempty"`
	Who     string       `json:"who,omitempty"`
	Advice  string       `json:"advice,omitempty"`
	Fix     string       `json:"fix,omitempty"`
	Parts   []advicePart `json:"parts,omitempty"`
	Took    string       `json:"took,omitempty"`
	Seconds float64      `json:"seconds"`
}

// NewStepJSON says a finding.
func NewStepJSON(f crm.Finding) StepJSON {
	j := StepJSON{State: f.State(), Code: f.Code, Step: f.Step, About: aboutCode(f.Code), Detail: f.Detail, Fix: f.Fix, Seconds: f.Took.Seconds()}
	if f.Skip && j.Detail == "" {
		j.Detail = "not reached"
	}
	if f.Fault != nil {
		j.Detail, j.Fault, j.Page, j.Advice = f.Fault.Message, f.Fault.Code, aboutCode(f.Fault.Code), f.Fault.Advice
		j.For, j.Who, j.Parts = f.For, f.For.Title(), splitAdvice(f.Fault.Advice)
		if f.Fix != "" {
			j.Parts = append(j.Parts, advicePart{f.Fix, true})
		}
	}
	if f.Took > 0 {
		j.Took = span(f.Took)
	}
	return j
}

// aboutCode is the address of the page about a code, "" when there is none.
func aboutCode(code string) string {
	if _, ok := docs.Check(code); !ok {
		return ""
	}
	return accessURL("check") + "/" + code
}
