package kuberouter

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rooms tells which rooms a room may import. A room is the folder below internal/ or cmd/; "plan" stands
// for all of plan's rooms. The table is the picture of ARCHITECTURE.md: data flows one way.
var rooms = map[string][]string{
	"model":     {},                                  // because a noun knows nobody
	"intent":    {},                                  // because a noun knows nobody
	"flow":      {},                                  // because a noun knows nobody; the plugin merges what nodes print of it
	"row":       {},                                  // because a noun knows nobody
	"api":       {},                                  // because it is how users write our own kinds, and it knows nobody
	"listen":    {},                                  // because whoever listens does so in the same way, and it knows nobody
	"watch":     {"model", "listen", "api"},          // because it turns the outside into what is true
	"holder":    {"model"},                           // because who owns what follows from what is true, and several planners must be told the same
	"plan":      {"model", "intent", "holder"},       // because it turns what is true into what should be
	"render":    {"intent", "row"},                   // because it puts what should be in a facility's words
	"podlink":   {},                                  // because the plugin and the daemon make and free the same, and it knows nobody
	"reconcile": {"row"},                             // because it compares rows, whatever they are
	"driver":    {"row", "listen", "api", "podlink"}, // because it writes rows and knows nothing of why; the CNI file is what the plugin reads
	"observe":   {"flow", "model", "driver"},         // because it keeps what drivers read, with names of what is true
	"config":    {"model"},                           // because settings are part of what is true
	"console":   {},
	"show":      {"model", "intent", "row", "reconcile", "listen"},
	"agent":     {"engine", "flow", "observe", "model", "intent", "row", "reconcile", "watch", "plan", "render", "driver", "config", "show", "view", "think", "stage", "holder", "podlink"},
	"think":     {"model", "plan", "holder"},                                                                          // because what a change touches follows from what is true, and units are plan's
	"engine":    {"engine", "model", "intent", "row", "render"},                                                       // because an engine is words of several facilities for one intent
	"stage":     {"engine", "model", "plan", "holder", "intent", "render", "row", "reconcile", "think"},               // because it carries what is true on to rows, and claims them
	"view":      {"flow", "model", "intent", "row", "reconcile", "watch", "plan", "config", "show", "holder"},         // because it tells what is, wanted and there, and asks through its own nouns
	"doctor":    {"engine", "model", "row", "watch", "plan", "driver", "config", "show", "api", "podlink", "console"}, // because it examines what the daemon works with, without one
	"convert":   {"api", "model", "watch"},                                                                            // because it writes our objects, and annotations are parsed in one place
	"script":    {"model", "intent", "row", "reconcile", "watch", "plan", "render", "driver", "config", "show", "agent"},
	"page":      {"flow", "listen"},  // because it shows what any source tells of a cluster, in a browser
	"cluster":   {"flow", "console"}, // because it runs on the operator's machine and knows the daemon by what that prints
	"lab":       {"lab", "api"},      // because it is the world around the binary and must not share its mistakes, but users write the same objects
	"cmd":       {"agent", "cluster", "console", "page", "flow", "doctor", "view", "config", "convert", "show", "lab", "model", "driver", "row", "podlink", "watch"},
}

// pure rooms do no I/O, read no clock and log nothing: they return values and remarks.
var pure = []string{"model", "flow", "intent", "row", "holder", "plan", "render", "convert"}

// mayWait are the rooms in which time passes.
var mayWait = []string{"reconcile", "cluster", "page", "lab", "driver", "watch", "listen", "cmd"}

// thirdParty are the modules we depend on directly, each with the rooms that may import it and the reason.
var thirdParty = map[string]struct {
	rooms  []string
	reason string
}{
	"k8s.io/client-go":                       {[]string{"cluster", "watch", "driver", "lab", "agent", "doctor", "cmd"}, "the Kubernetes client: list-watch and credentials"},
	"k8s.io/api":                             {[]string{"cluster", "convert", "watch", "driver", "lab", "doctor"}, "the Kubernetes API types"},
	"k8s.io/apimachinery":                    {[]string{"api", "cluster", "convert", "watch", "driver", "lab", "agent", "doctor", "cmd"}, "the Kubernetes meta types and codecs"},
	"k8s.io/cri-api":                         {[]string{"driver"}, "the container runtime's protocol, where no CNI record names a pod's namespace"},
	"github.com/osrg/gobgp/v4":               {[]string{"driver", "watch", "cmd"}, "the BGP speaker, with its gRPC interface that users know"},
	"github.com/vishvananda/netlink":         {[]string{"driver", "watch", "lab", "podlink"}, "links, addresses, routes and rules over rtnetlink"},
	"github.com/vishvananda/netns":           {[]string{"driver", "watch", "lab", "agent", "doctor", "podlink", "cmd"}, "entering a network namespace"},
	"github.com/google/nftables":             {[]string{"driver"}, "nftables over netlink"},
	"github.com/mdlayher/netlink":            {[]string{"driver"}, "netlink messages that google/nftables has no words for"},
	"github.com/moby/ipvs":                   {[]string{"driver"}, "IPVS over generic netlink"},
	"github.com/cilium/ebpf":                 {[]string{"driver"}, "eBPF maps, programs and links; its assembler spares a compiler"},
	"github.com/ti-mo/conntrack":             {[]string{"driver"}, "conntrack over netlink, with deletion by tuple"},
	"github.com/spf13/cobra":                 {[]string{"cmd"}, "subcommands and their help"},
	"github.com/spf13/pflag":                 {[]string{"config", "cmd"}, "flags in the syntax that scripts for kube-router use"},
	"github.com/prometheus/client_golang":    {[]string{"show", "agent"}, "metrics in the format that everybody scrapes"},
	"github.com/containernetworking/cni":     {[]string{"lab", "cmd"}, "the CNI types of our plugin, and libcni as a container runtime uses it"},
	"github.com/google/go-containerregistry": {[]string{""}, "OCI images and indexes, as every registry and runtime reads them"},
	"github.com/containernetworking/plugins": {nil, "the reference plugins that the lab and the image bring, at a pinned version"},
	"sigs.k8s.io/json":                       {[]string{"api", "lab"}, "JSON as the API server reads it, which tells fields that a type doesn't have"},
	"sigs.k8s.io/yaml":                       {[]string{"cluster", "convert", "watch", "config", "lab", "show", "cmd"}, "YAML as Kubernetes reads it"},
	"go.yaml.in/yaml/v3":                     {[]string{"config"}, "YAML with line numbers, so that an error in the configuration file names its line"},
	"gopkg.in/evanphx/json-patch.v4":         {[]string{"lab"}, "JSON patch and merge patch as the API server applies them"},
	"github.com/gorilla/websocket":           {[]string{"lab"}, "the server's end of a WebSocket, on which kubectl runs commands in pods; client-go's other end is the same module"},
	"k8s.io/streaming":                       {[]string{"cluster", "lab"}, "the server's end of SPDY, which older kubectl and port-forward speak"},
	"github.com/go-logr/logr":                {[]string{"watch"}, "client-go logs through it; we hand it our own logger"},
	"k8s.io/klog/v2":                         {[]string{"watch"}, "client-go logs through it; we hand it our own logger"},
	"golang.org/x/sys":                       {[]string{"driver", "watch", "lab", "podlink", "cmd"}, "system calls and kernel constants"},
	"golang.org/x/term":                      {[]string{"console"}, "whether output goes to a terminal, on every system that kubectl runs on"},
	"golang.org/x/net":                       {[]string{"driver", "watch"}, "bpf: the filter that spares us the echo of our own netlink messages; dns/dnsmessage: the reader of DNS answers"},
	"golang.org/x/sync":                      {[]string{"agent", "lab", "cmd"}, "errgroup"},
	"golang.zx2c4.com/wireguard":             {[]string{"driver"}, "WireGuard in user space, where the kernel has none"},
	"golang.zx2c4.com/wireguard/wgctrl":      {[]string{"driver"}, "the kernel's WireGuard over generic netlink"},
	"google.golang.org/grpc":                 {[]string{"driver", "watch", "cmd"}, "the transport of GoBGP's interface and of CRI"},
	"google.golang.org/protobuf":             {[]string{"driver"}, "GoBGP's messages"},
	"github.com/google/go-cmp":               {nil, "readable differences in tests"},
	"golang.org/x/tools":                     {[]string{"script"}, "txtar: a script test, its input and what it expects in one readable file"},
}

const (
	maxFile     = 400 // lines
	maxFunction = 60  // lines
)

// budgets bound rooms that would grow back: lines and files without tests. A room that needs more is two rooms, or the
// budget is raised here with a reason.
var budgets = map[string]struct{ lines, files int }{
	"agent":  {3750, 35}, // wiring, of flows, their export, of domain names and of what policies lack too: sources, what runs beside what, tables and their lanes
	"think":  {1700, 15}, // the loop and the change table; what a stage plans is elsewhere
	"stage":  {1950, 19}, // plans to rows; decisions are plan's and the engines'
	"engine": {600, 8},   // grows by a package an engine
	"view":   {2545, 20}, // flows, drops, domain names and the way of a packet have a file each
	"doctor": {1200, 7},
}

type source struct {
	path string // slash-separated, from the root
	text []byte
	file *ast.File
	fset *token.FileSet
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// room is the first folder below internal or cmd ("plan/service" is in room plan); "cmd" for cmd.
func (s source) room() string {
	parts := strings.Split(s.path, "/")
	switch {
	case parts[0] == "internal":
		return parts[1]
	case parts[0] == "cmd":
		return "cmd"
	}
	return ""
}

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// sources parses every Go file of the module; folders with a go.mod of their own are other modules.
func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." {
			if _, other := os.Stat(filepath.Join(path, "go.mod")); other == nil {
				return filepath.SkipDir
			}
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		list = append(list, source{filepath.ToSlash(path), text, file, fset})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDataFlowsOneWay(t *testing.T) {
	for _, s := range sources(t) {
		allowed, known := rooms[s.room()]
		if s.test() || s.room() == "" {
			continue
		}
		if !known {
			t.Errorf("%s: room %q is not in the house; add it to rooms with its because", s.path, s.room())
		}
		own := "kube-router/" + filepath.ToSlash(filepath.Dir(s.path))
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			rest, ours := strings.CutPrefix(path, "kube-router/internal/")
			to, _, _ := strings.Cut(rest, "/")
			// A room may have chambers of its own.
			same := strings.HasPrefix(path, own+"/") || strings.HasPrefix(own, path+"/")
			if ours && !same && !slices.Contains(allowed, to) {
				t.Errorf("%s: %s may not import %s; it may import %v", s.at(imp), s.room(), path, allowed)
			}
		}
	}
}

func TestThirdPartyHasAReason(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
				continue
			}
			module := ""
			for m := range thirdParty {
				if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(module) {
					module = m
				}
			}
			used[module] = true
			if module == "" {
				t.Errorf("%s: %s has no reason in thirdParty", s.at(imp), path)
			} else if !s.test() && !slices.Contains(thirdParty[module].rooms, s.room()) {
				t.Errorf("%s: room %q may not import %s; rooms %v may", s.at(imp), s.room(), module, thirdParty[module].rooms)
			}
		}
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for module := range thirdParty {
		tool := strings.Contains(string(mod), "\n\t"+module+"/") // a program that is built at the version of go.mod
		if !used[module] && !tool {
			t.Errorf("%s is in thirdParty and nothing imports it", module)
		}
	}
}

func TestPureRoomsAreDeterministic(t *testing.T) {
	impure := []string{"log", "log/slog", "os", "os/exec", "net", "net/http", "sync", "syscall", "math/rand", "math/rand/v2"}
	for _, s := range sources(t) {
		if s.test() || !slices.Contains(pure, s.room()) || strings.HasPrefix(s.path, "internal/row/conform/") {
			continue
		}
		for _, imp := range s.file.Imports {
			if path := strings.Trim(imp.Path.Value, `"`); slices.Contains(impure, path) {
				t.Errorf("%s: pure room %s imports %s", s.at(imp), s.room(), path)
			}
		}
		calls(s, func(c *ast.CallExpr, name string) {
			if name == "time.Now" || name == "time.Since" || name == "time.Until" {
				t.Errorf("%s: pure room %s reads the clock", s.at(c), s.room())
			}
		})
	}
}

func TestWaitingAndDyingHaveTheirPlace(t *testing.T) {
	waits := []string{"time.Sleep", "time.After", "time.NewTicker", "time.NewTimer", "time.Tick", "time.AfterFunc"}
	for _, s := range sources(t) {
		if s.test() || s.room() == "" {
			continue
		}
		calls(s, func(c *ast.CallExpr, name string) {
			if slices.Contains(waits, name) && !slices.Contains(mayWait, s.room()) {
				t.Errorf("%s: %s outside of %v", s.at(c), name, mayWait)
			}
			if dies := strings.HasPrefix(name, "log.Fatal") || name == "os.Exit"; dies && s.file.Name.Name != "main" {
				t.Errorf("%s: %s outside of main", s.at(c), name)
			}
		})
	}
}

// calls visits every call of a function of another package, by its written name.
func calls(s source, visit func(*ast.CallExpr, string)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok {
					visit(c, x.Name+"."+sel.Sel.Name)
				}
			}
		}
		return true
	})
}

func TestNoInitAndNoMutableState(t *testing.T) {
	vars := map[string]map[string]bool{} // package folder → names of package-level variables
	all := sources(t)
	for _, s := range all {
		if s.test() {
			continue
		}
		dir := filepath.Dir(s.path)
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					t.Errorf("%s: init hides work from whoever reads main", s.at(d))
				}
			case *ast.GenDecl:
				collectVars(d, dir, vars)
			}
		}
	}
	for _, s := range all {
		if !s.test() {
			assignments(t, s, vars[filepath.Dir(s.path)])
		}
	}
}

func collectVars(d *ast.GenDecl, dir string, vars map[string]map[string]bool) {
	if d.Tok != token.VAR {
		return
	}
	for _, spec := range d.Specs {
		for _, n := range spec.(*ast.ValueSpec).Names {
			if vars[dir] == nil {
				vars[dir] = map[string]bool{}
			}
			vars[dir][n.Name] = true
		}
	}
}

// assignments reports writes to package-level variables; tables that are only read are constants.
func assignments(t *testing.T, s source, vars map[string]bool) {
	report := func(n ast.Node, e ast.Expr) {
		for {
			if ix, ok := e.(*ast.IndexExpr); ok {
				e = ix.X
				continue
			}
			break
		}
		id, ok := e.(*ast.Ident)
		if !ok || !vars[id.Name] || id.Name == "_" {
			return
		}
		if id.Obj == nil || id.Obj.Kind == ast.Var && topLevel(s.file, id.Obj.Decl) {
			t.Errorf("%s: %s is package-level state", s.at(n), id.Name)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if n.Tok != token.DEFINE {
					report(n, e)
				}
			}
		case *ast.IncDecStmt:
			report(n, n.X)
		}
		return true
	})
}

func topLevel(f *ast.File, decl any) bool {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, spec := range g.Specs {
				if spec == decl {
					return true
				}
			}
		}
	}
	return false
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if lines := bytes.Count(s.text, []byte("\n")); lines > maxFile && s.path != "arch_test.go" {
			t.Errorf("%s: %d lines; the limit is %d: make it two files with a name each", s.path, lines, maxFile)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.test() {
				continue
			}
			if lines := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; lines > maxFunction {
				t.Errorf("%s: %s has %d lines; the limit is %d", s.at(f), f.Name.Name, lines, maxFunction)
			}
		}
	}
}

func TestRoomsKeepTheirBudget(t *testing.T) {
	lines, files := map[string]int{}, map[string]int{}
	for _, s := range sources(t) {
		if !s.test() {
			lines[s.room()] += bytes.Count(s.text, []byte("\n"))
			files[s.room()]++
		}
	}
	for room, most := range budgets {
		if lines[room] == 0 || lines[room] > most.lines || files[room] > most.files {
			t.Errorf("internal/%s: %d lines in %d files; its budget is %d in %d", room, lines[room], files[room], most.lines, most.files)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	packages := map[string]bool{}
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		dir := filepath.Dir(s.path)
		packages[dir] = packages[dir] || s.file.Doc != nil
		for _, d := range s.file.Decls {
			undocumented(d, func(name string, n ast.Node) {
				t.Errorf("%s: %s has no doc comment", s.at(n), name)
			})
		}
	}
	for dir, documented := range packages {
		if !documented {
			t.Errorf("%s: no package comment tells its place in the picture", dir)
		}
	}
}

func undocumented(d ast.Decl, report func(string, ast.Node)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			report(d.Name.Name, d)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
					report(spec.Name.Name, spec)
				}
			case *ast.ValueSpec:
				if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					report(spec.Names[0].Name, spec)
				}
			}
		}
	}
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return true
	}
	e := f.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
