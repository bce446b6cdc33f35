package page

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// contentPolicy lets the page load its own files and ask its own server, and nothing else: no inline script or style, no other host, no frame.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses whatever doesn't come from the page itself: another name for this address (DNS rebinding), another site's script, a URL without the
// token. addr is HOST:PORT where the server listens.
func guard(addr, token string, next http.Handler) http.Handler {
	_, port, _ := strings.Cut(addr, ":")
	hosts := map[string]bool{addr: true, "localhost:" + port: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer") // the URL holds the token
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		given, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch {
		case !hosts[r.Host]:
			http.Error(w, "this page is served at "+addr+" only", http.StatusForbidden)
		case !sameSite(r):
			http.Error(w, "another site asked", http.StatusForbidden)
		case subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1:
			http.Error(w, "the URL lacks the token; use the one that the command printed", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// sameSite tells whether a request is the page's own, or somebody's who typed the URL. A browser that says neither is an old one; the token is left.
func sameSite(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	// A link on another page, or a terminal that is one, may lead here; nothing but the page itself comes of it.
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
