package cluster

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
)

// sheet is a bundle's page: one file that loads nothing from anywhere.
var sheet = template.Must(template.New("page").Funcs(template.FuncMap{
	"join": func(list []string) string { return strings.Join(list, "; ") },
	"of": func(files []string, node string) (some []string) {
		for _, f := range files {
			if strings.HasPrefix(f, "nodes/"+node+"/") {
				some = append(some, f)
			}
		}
		return some
	},
	"short": func(path, node string) string { return strings.TrimPrefix(path, "nodes/"+node+"/") },
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>kube-router: bundle of {{.Made.Format "2006-01-02 15:04:05"}}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
.bad { font-weight: 700; color: #c22; }
.files a { margin-right: .8rem; white-space: nowrap; }
</style></head><body>
<h1>kube-router: bundle of {{.Made.Format "2006-01-02 15:04:05"}} UTC</h1>
<p>Kubernetes {{.Server}}; plugin {{.Plugin}}. <a href="MANIFEST.json">MANIFEST.json</a> lists all files.</p>
<h2>Nodes, the unwell first</h2>
<table><tr><th>node<th>state<th>version<th>up<th>engine<th>BGP<th>failing<th>remarks<th>causes</tr>
{{range .Statuses}}<tr><td><a href="#{{.Node}}">{{.Node}}</a><td{{if ne .State "well"}} class="bad"{{end}}>{{.State}}<td>{{.Version}}<td>{{.Up}}<td>{{.ServiceEngine}}<td>{{.Sessions}}<td>{{.Failing}}<td>{{if ge .Remarks 0}}{{.Remarks}}{{end}}<td>{{join .Causes}}</tr>
{{end}}</table>
{{range .Oddities}}<p class="bad">{{.}}</p>
{{end}}<h2>Doctors</h2>
<table><tr><th>verdict<th>check<th>nodes<th>what<th>fix</tr>
{{range .Findings}}{{if ne .Verdict "ok"}}<tr><td{{if ne .Verdict "warn"}} class="bad"{{end}}>{{.Verdict}}<td>{{.Check}}<td>{{join .Nodes}}<td>{{.What}}<td>{{.Fix}}</tr>
{{end}}{{end}}</table>
<h2>Files</h2>
{{$b := .}}{{range .Statuses}}{{$n := .Node}}<h3 id="{{$n}}">{{$n}}</h3><p class="files">{{range of $b.Files $n}}<a href="{{.}}">{{short . $n}}</a> {{else}}nothing{{end}}</p>
{{end}}<h3>Objects</h3><p class="files">{{range .Objects}}<a href="{{.}}">{{.}}</a> {{end}}</p>
{{if .Missing}}<h2>What is missing</h2>
<table><tr><th>file<th>why</tr>
{{range $file, $why := .Missing}}<tr><td>{{$file}}<td>{{$why}}</tr>
{{end}}</table>{{end}}
</body></html>
`))

// Objects are the files with objects of the API.
func (b *Bundle) Objects() (some []string) {
	for _, f := range b.Files {
		if strings.HasPrefix(f, "objects/") {
			some = append(some, f)
		}
	}
	return some
}

func (b *Bundle) page() ([]byte, error) {
	var out bytes.Buffer
	if err := sheet.Execute(&out, b); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return out.Bytes(), nil
}
