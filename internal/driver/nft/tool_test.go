package nft

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
)

// TestPrintedRowsAreNft feeds what rows print to the nft program and compares what it makes of them with
// what the driver made: the text that users see is true, and the expressions mean what it says.
func TestPrintedRowsAreNft(t *testing.T) {
	needTool(t)
	ours, theirs := newSpace(t), newSpace(t)
	var rows []row.Nft
	text := "add table inet " + row.NftTable + "\nadd table bridge " + row.NftTable + "\n"
	for _, kind := range []row.NftKind{row.NftKindSet, row.NftKindChain, row.NftKindRule, row.NftKindElement} {
		pos := map[row.NftKey]int{}
		for _, r := range sample() {
			if r.Key().Kind != kind || !sayable(r) {
				continue
			}
			if rule, ok := r.(row.NftRule); ok {
				chain := row.NftKey{Name: rule.Chain, Bridge: rule.Bridge}
				rule.Pos = pos[chain]
				pos[chain]++
				r = rule
			}
			rows = append(rows, r)
			text += r.String() + "\n"
		}
	}
	if err := newDriver(t, ours).Apply(t.Context(), adds(rows...)); err != nil {
		t.Fatal(err)
	}
	theirs.nft(t, text, "-f", "-")
	got, want := ours.nft(t, "", "list", "ruleset"), theirs.nft(t, "", "list", "ruleset")
	if d := cmp.Diff(lines(want), lines(got)); d != "" {
		t.Errorf("nft's own reading (-) and the driver's (+):\n%s", d)
	}
}

// sayable leaves out what nft's language can't say with named types: an integer as part of a key, or what a map gives.
func sayable(r row.Nft) bool {
	text := r.String()
	if strings.Contains(text, "( ") {
		return false
	}
	return !strings.Contains(text, "numgen") && !strings.Contains(text, "jhash") && !strings.Contains(text, "delete @")
}

// lines splits and makes equal what nft prints in the order of its hash tables.
func lines(text string) []string {
	text = regexp.MustCompile(`elements = \{[^}]*\}`).ReplaceAllStringFunc(text, func(s string) string {
		parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("{},\n\t", r) })
		seen := map[string]bool{}
		for _, p := range parts {
			seen[strings.TrimSpace(p)] = true
		}
		return strings.Join(sorted(seen), "\n")
	})
	return strings.Split(text, "\n")
}
