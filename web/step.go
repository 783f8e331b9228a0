package web

import (
	"postern/crm"
	"postern/docs"
)

// A stepView is one step of a connection test as pages show it.
type stepView struct {
	State string // ok, warn, bad or skip
	Step  string
	About string // address of the page about the step, "" when there is none
	Told  string
	Parts []advicePart // what to do
	Who   string       // who can do it
	Code  string       // of the fault
	Page  string       // address of the page about it
	Took  string
}

func viewStep(f crm.Finding) stepView {
	v := stepView{State: f.State(), Step: f.Step, About: aboutCode(f.Code), Told: f.Detail}
	if f.Skip && v.Told == "" {
		v.Told = "not reached"
	}
	if f.Fault != nil {
		v.Told, v.Who, v.Code, v.Page = f.Fault.Message, f.For.Title(), f.Fault.Code, aboutCode(f.Fault.Code)
		v.Parts = splitAdvice(f.Fault.Advice)
		if f.Fix != "" {
			v.Parts = append(v.Parts, advicePart{f.Fix, true})
		}
	}
	if f.Took > 0 {
		v.Took = span(f.Took)
	}
	return v
}

// aboutCode is the address of the page about a code, "" when there is none.
func aboutCode(code string) string {
	if _, ok := docs.Check(code); !ok {
		return ""
	}
	return accessURL("check") + "/" + code
}

// StepJSON is a finding as the API and the commands have it. Parts is what to do again,
// with what is to be run set apart.
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

// NewStepJSON turns a finding into JSON.
func NewStepJSON(f crm.Finding) StepJSON {
	v := viewStep(f)
	j := StepJSON{State: v.State, Code: f.Code, Step: f.Step, About: v.About, Detail: v.Told, Fault: v.Code, Page: v.Page, Fix: f.Fix, Parts: v.Parts, Took: v.Took, Seconds: f.Took.Seconds()}
	if f.Fault != nil {
		j.For, j.Who, j.Advice = f.For, v.Who, f.Fault.Advice
	}
	return j
}
