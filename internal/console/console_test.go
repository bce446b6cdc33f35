package console

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestStatesAreColoured(t *testing.T) {
	for line, want := range map[string]string{
		"TABLE  STATE\n":                                      "TABLE  STATE\n",
		"rtnl   settled\n":                                    "rtnl   <settled>\n",
		"state           unwell\n":                            "state           [unwell]\n",
		"FAIL  encrypted between nodes  0 of 2\n":             "[FAIL]  encrypted between nodes  0 of 2\n",
		"10.244.1.2 → 10.244.2.2:80/tcp: allowed\n":           "10.244.1.2 → 10.244.2.2:80/tcp: <allowed>\n",
		"10.244.1.2 → 10.244.2.2:80/tcp: no route\n":          "10.244.1.2 → 10.244.2.2:80/tcp: [no route]\n",
		"  egress of pod x: allowed: no policy isolates it\n": "  egress of pod x: allowed: no policy isolates it\n",
		"172.30.0.12  64512  ESTABLISHED  1s\n":               "172.30.0.12  64512  <ESTABLISHED>  1s\n",
		"it is ok to say so\n":                                "it is ok to say so\n",
	} {
		var b bytes.Buffer
		p := &painter{to: &b}
		for _, part := range strings.SplitAfter(line, " ") { // as it comes
			if _, err := p.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		want = strings.NewReplacer("<", green, ">", plain, "[", red, "]", plain).Replace(want)
		if b.String() != want {
			t.Errorf("%q, want %q", b.String(), want)
		}
	}
}

func TestAFileIsNotColoured(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if w := Writer(f, func(string) string { return "" }); w != f {
		t.Errorf("%T", w)
	}
}

func TestLinesAreWrapped(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "one": "one", "one two three": "one two|three", "  a   b ": "a b", "sesquipedalian it is": "sesquipedalian|it is", "→ → → →": "→ → → →",
	} {
		if have := strings.Join(Wrap(text, 7), "|"); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}

func TestAFindingHasItsFixBelow(t *testing.T) {
	rows := Finding([]string{"bad", "b"}, "one two three", "glue", 7)
	want := [][]string{{"bad", "b", "one two"}, {"", "", "three"}, {"", "", "→ glue"}}
	if !slices.EqualFunc(rows, want, slices.Equal[[]string]) {
		t.Errorf("%q, want %q", rows, want)
	}
	if n := Room("VERDICT", "→"); n != Width-12 {
		t.Errorf("room for %d", n)
	}
}
