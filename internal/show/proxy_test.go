package show

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnswersAsKubeProxyDoes(t *testing.T) {
	var now Pulse
	h := ProxyHealthHandler(func() Pulse { return now })
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		what          string
		pulse         Pulse
		health, alive int
		says          string
	}{
		{"before the first plan", Pulse{}, 503, 503, `"nodeEligible": true`},
		{"afterwards", Pulse{Started: true}, 200, 200, `"lastUpdated": "2`},
		{"the node leaves", Pulse{Started: true, Leaving: true}, 503, 200, `"nodeEligible": false`},
		{"changes don't arrive", Pulse{Started: true, Busy: 2 * Stuck}, 503, 503, `"nodeEligible": true`},
		{"other nodes can't be reached", Pulse{Started: true, NoPath: "no module"}, 200, 200, `"nodeEligible": true`},
	} {
		now = c.pulse
		code, body := get("/healthz")
		alive, short := get("/livez")
		if code != c.health || alive != c.alive || !strings.Contains(body, c.says) || strings.Contains(short, "Eligible") {
			t.Errorf("%s: /healthz %d %s, /livez %d %s", c.what, code, body, alive, short)
		}
	}
	w := httptest.NewRecorder()
	ProxyModeHandler("ipvs").ServeHTTP(w, httptest.NewRequest("GET", "/proxyMode", nil))
	if w.Code != 200 || w.Body.String() != "ipvs" {
		t.Errorf("mode: %d %s", w.Code, w.Body)
	}
}
