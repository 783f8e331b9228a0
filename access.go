package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postern/report"
	"postern/store"
)

type accessCommand struct {
	List      accessList      `cmd:"" default:"withargs" help:"Show the latest requests to Exchange."`
	Export    accessExport    `cmd:"" help:"Write all requests that are kept, as CSV or JSON."`
	Summary   accessSummary   `cmd:"" help:"Show what was ever asked for, from where and under which name."`
	Retention accessRetention `cmd:"" help:"Show or change for how many days requests are kept."`
}

// accessFlags say which requests are meant.
type accessFlags struct {
	From      string `help:"From this time on: a day as 2026-11-21, or a moment as 2026-11-21T15:04:05Z." placeholder:"TIME"`
	To        string `help:"Up to this time; a day is included." placeholder:"TIME"`
	Mailbox   string `help:"Address of the mailbox."`
	Operation string `help:"Such as GetItem."`
	Account   string `help:"Login that was used."`
	Source    string `help:"Address that the request left from."`
	UserAgent string `help:"As sent."`
	Result    string `help:"ok, refused, no-answer, or log-on for the steps of logging on." enum:",ok,refused,no-answer,log-on" default:""`
	Code      string `help:"Such as ErrorServerBusy."`
	Request   string `help:"Id of the request, ours or the server's."`
}

func (f *accessFlags) query() (store.AccessQuery, error) {
	q, err := report.AccessFilter(*f).Query()
	if bad, ok := errors.AsType[*report.FilterError](err); ok {
		err = badFilter(bad)
	}
	return q, err
}

func badFilter(bad *report.FilterError) error {
	if bad.Field == "mailbox" {
		return badAddress(bad.Value, bad.Err)
	}
	return badArgument(fmt.Sprintf("%q is no time.", bad.Value), "Write a day as 2026-11-21, or a moment as 2026-11-21T15:04:05Z.", bad)
}

type accessList struct {
	dataFlags
	accessFlags
	Limit int  `help:"How many." default:"50"`
	JSON  bool `help:"Print JSON." xor:"format"`
	CSV   bool `help:"Print CSV." name:"csv" xor:"format"`
}

func (l *accessList) Run(c *common) error {
	st, org, err := l.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	q, err := l.query()
	if err != nil {
		return err
	}
	q.Limit = l.Limit
	list, _, err := org.AccessLog(c.ctx, q)
	if err != nil {
		return err
	}
	if l.JSON || l.CSV {
		return report.WriteAccess(c.out, map[bool]string{true: report.CSV, false: report.JSON}[l.CSV], report.Of(list))
	}
	w := table(c.out)
	fmt.Fprintln(w, "TIME\tMAILBOX\tOPERATION\tITEMS\tSENT\tRECEIVED\tTOOK\tRESULT\tCODE\tFROM\tREQUEST")
	for i := range list {
		a := &list[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", clock(a.At), a.Mailbox, a.Operation, a.Items, a.Sent, a.Received,
			a.Took.Round(time.Millisecond), a.Result, a.Code, a.Source, a.RequestID)
	}
	return w.Flush()
}

type accessExport struct {
	dataFlags
	accessFlags
	Format string `help:"csv or json." enum:"csv,json" default:"csv"`
}

func (e *accessExport) Run(c *common) error {
	st, org, err := e.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	q, err := e.query()
	if err != nil {
		return err
	}
	write, err := report.ExportAccess(c.ctx, org, e.Format, q)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.out)
	if err := write(out); err != nil {
		return err
	}
	return out.Flush()
}

type accessSummary struct {
	dataFlags
	JSON bool `help:"Print JSON."`
}

func (s *accessSummary) Run(c *common) error {
	st, org, err := s.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	summary, err := report.Summarize(c.ctx, org)
	if err != nil {
		return err
	}
	if s.JSON {
		return json.NewEncoder(c.out).Encode(summary)
	}
	w := table(c.out)
	fmt.Fprintln(w, "OPERATION\tREQUESTS\tFAILED\tBY THE CHECK\tITEMS\tSENT\tRECEIVED\tFIRST\tLAST")
	for _, o := range summary.Operations {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", o.Operation, o.Requests, o.Failed, o.Tests, o.Items, o.Sent, o.Received, clock(o.First), clock(o.Last))
	}
	fmt.Fprintln(w, "\nUSER-AGENT\tFROM\tTO\tACCOUNT\tREQUESTS\tFIRST\tLAST\t")
	for _, o := range summary.Origins {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t\n", o.UserAgent, o.Source, o.Host, o.Account, o.Requests, clock(o.First), clock(o.Last))
	}
	return w.Flush()
}

type accessRetention struct {
	dataFlags
	Days *int `arg:"" optional:"" help:"Days that requests are kept; none = show."`
}

func (r *accessRetention) Run(c *common) error {
	st, org, err := r.open(c, false)
	if err != nil {
		return err
	}
	defer st.Close()
	if r.Days != nil {
		if err := org.SetAccessRetention(c.ctx, *r.Days); err != nil {
			return err
		}
	}
	days, err := org.AccessRetention(c.ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "requests are kept for %d days; totals stay\n", days)
	return err
}
