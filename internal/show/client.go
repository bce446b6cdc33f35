package show

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrSilent tells a daemon that hangs from one that doesn't run.
var ErrSilent = errors.New("kube-router runs on this node and gives no answer: it hangs. " +
	"kill -QUIT its process: that ends it, with all its goroutines in its log; the kernel goes on with what it has")

// longQuery is from how many bytes on arguments go in the question's body.
const longQuery = 4 << 10

// patience is how long an answer may take: a page of a hundred thousand rows long, the first look not at all.
func patience(view string) time.Duration {
	switch view {
	case "summary", "settings":
		return 6 * time.Second
	case "flows":
		return 10 * time.Second // asked again and again: that one is silent should be known
	}
	return 30 * time.Second
}

// Ask gets one page from the daemon that listens at a socket path.
func Ask(ctx context.Context, socket, view string, args []string) (Page, error) {
	return AskInto(ctx, socket, view, args, nil)
}

// AskInto is Ask with the page's data read into a value of the caller's, a pointer.
func AskInto(ctx context.Context, socket, view string, args []string, data any) (Page, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	ctx, cancel := context.WithTimeout(ctx, patience(view))
	defer cancel()
	u := url.URL{Scheme: "http", Host: "kube-router", Path: "/" + view, RawQuery: url.Values{"arg": args}.Encode()}
	method, body := http.MethodGet, ""
	if len(u.RawQuery) > longQuery {
		method, body, u.RawQuery = http.MethodPost, u.RawQuery, ""
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return Page{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return Page{}, ErrSilent
	}
	if err != nil {
		return Page{}, fmt.Errorf("is kube-router running on this node? %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return Page{}, fmt.Errorf("%s", strings.TrimSpace(string(text)))
	}
	p := Page{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		return Page{}, fmt.Errorf("answer of kube-router: %w", err)
	}
	return p, nil
}
