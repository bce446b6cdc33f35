package cluster

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
)

// hidden stands where a secret was.
const hidden = "(secret)"

// fieldForm finds a field whose name says that its value is a secret.
var fieldForm = regexp.MustCompile(`(?i)(passwords?|passwd|secret|token|private[-_]?key|auth[-_]?key)["']?\s*[=:]\s*("[^"]*"|'[^']*'|[^\s,;"'})\]]+)`)

// secretForms are the second net below what is never collected: texts that look like a secret, wherever they are.
func secretForms() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`),
		regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?`), // a JSON web token, such as a service account's
		regexp.MustCompile(`(?i)(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`),
		regexp.MustCompile(`\b[A-Za-z0-9+/]{43}=`), // a key of WireGuard, 32 bytes
	}
}

// scrubber takes secrets out of text: those that it was told, in the writings in which they are met, and what looks like one.
type scrubber struct {
	known []string
	forms []*regexp.Regexp
}

func newScrubber() *scrubber { return &scrubber{forms: secretForms()} }

// tell adds values that must not be shown. Lists of passwords are separated by commas; each may be written in base64, as kube-router takes them.
func (s *scrubber) tell(values ...string) {
	for _, value := range values {
		for _, one := range append(strings.Split(value, ","), value) {
			one = strings.TrimSpace(one)
			writings := []string{one, base64.StdEncoding.EncodeToString([]byte(one)), base64.RawURLEncoding.EncodeToString([]byte(one))}
			if plain, err := base64.StdEncoding.DecodeString(one); err == nil {
				writings = append(writings, string(plain))
			}
			for _, w := range writings {
				if len(w) >= 4 && !slices.Contains(s.known, w) { // shorter ones would take half of the text with them
					s.known = append(s.known, w)
				}
			}
		}
	}
	slices.SortFunc(s.known, func(a, b string) int { return len(b) - len(a) }) // the longest first, lest a part of it be left
}

// clean is the text without secrets.
func (s *scrubber) clean(text []byte) []byte {
	out := string(text)
	for _, secret := range s.known {
		out = strings.ReplaceAll(out, secret, hidden)
	}
	for _, form := range s.forms {
		out = form.ReplaceAllString(out, hidden)
	}
	out = fieldForm.ReplaceAllStringFunc(out, func(found string) string { // its name stays
		return found[:strings.IndexAny(found, "=:")+1] + " " + hidden
	})
	return []byte(out)
}
