package show

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"
)

// Page is what a view shows now.
type Page struct {
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
	Data    any        `json:"data"` // the same for programs
	Note    string     `json:"note,omitempty"`
}

// View is one thing that can be asked: "tables", "services", "why" …
type View struct {
	Name string
	Doc  string // one line for the help
	Args string // what may follow the name, for the help: "TABLE", "ADDRESS:PORT/PROTOCOL"
	Make func(ctx context.Context, args []string) (Page, error)
}

// FailingRow is a row that could not be made so: what view `failing` gives to programs, the doctor among them.
type FailingRow struct {
	Table, Row, Owner, Error string
	Since                    time.Time
	Attempts                 int
	Foreign                  bool // no restart of the daemon changes it: health passes over it
}

// Format is how a page is printed.
type Format string

// The formats of `kube-router show -o`.
const (
	Text Format = "text"
	JSON Format = "json"
	YAML Format = "yaml"
)

// Print writes a page in a format. An unknown format is an error.
func (p Page) Print(w io.Writer, f Format) error {
	switch f {
	case Text, "":
		return p.text(w)
	case JSON:
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(p.Data)
	case YAML:
		text, err := yaml.Marshal(p.Data)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	return fmt.Errorf("unknown output format %q: text, json or yaml", f)
}

func (p Page) text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(p.Columns) > 0 {
		fmt.Fprintln(tw, strings.ToUpper(strings.Join(p.Columns, "\t")))
	}
	for _, r := range p.Rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	if p.Note != "" {
		fmt.Fprintln(tw, p.Note)
	}
	return tw.Flush()
}

// List prints several things in one cell.
func List[T any](items []T) string {
	if len(items) == 0 {
		return "none"
	}
	text := fmt.Sprint(items)
	return text[1 : len(text)-1]
}

// Count is a number of things in words: "1 packet", "2 packets".
func Count[N ~int | ~int64 | ~uint32 | ~uint64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// argsOf reads the arguments of a request: ?arg=a&arg=b.
func argsOf(q url.Values) []string { return q["arg"] }

// find looks a view up by name.
func find(views []View, name string) (View, bool) {
	i := slices.IndexFunc(views, func(v View) bool { return v.Name == name })
	if i < 0 {
		return View{}, false
	}
	return views[i], true
}
