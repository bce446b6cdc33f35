// Package page drives the page of `kubectl kuberouter ui` in a browser: against a lab with real packets, and against a source of its own that is larger
// than any lab. Its tests need the tag "page", root, Debian's chromium and node.
package page
