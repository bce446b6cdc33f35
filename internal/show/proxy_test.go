package show

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnswersAsKubeProxyDoes(t *testing.T) {
	started := false
	h := ProxyHealthHandler(func() Pulse { return Pulse{Started: started} })
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := get("/healthz"); code != 503 || !strings.Contains(body, `"nodeEligible": false`) {
		t.Errorf("before the first plan: %d %s", code, body)
	}
	started = true
	if code, body := get("/healthz"); code != 200 || !strings.Contains(body, `"lastUpdated": "2`) {
		t.Errorf("afterwards: %d %s", code, body)
	}
	w := httptest.NewRecorder()
	ProxyModeHandler("ipvs").ServeHTTP(w, httptest.NewRequest("GET", "/proxyMode", nil))
	if w.Code != 200 || w.Body.String() != "ipvs" {
		t.Errorf("mode: %d %s", w.Code, w.Body)
	}
}
