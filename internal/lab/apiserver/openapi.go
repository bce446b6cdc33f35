package apiserver

import (
	"encoding/json"
	"net/http"
	"strings"
)

// A document is JSON of which only a few fields matter.
type document = map[string]any

// serveOpenAPI answers /openapi/v3 and what it refers to. The documents say only what kubectl asks of them: that a PATCH of each kind
// takes fieldValidation, so that kubectl leaves checking to the server (KEP-2885). There are no schemas: kubectl explain finds nothing.
func (s *Server) serveOpenAPI(w http.ResponseWriter, rest string) bool {
	if rest == "v3" {
		paths := document{}
		for _, k := range s.served() {
			root := strings.TrimPrefix(k.root(), "/")
			paths[root] = document{"serverRelativeURL": "/openapi/v3/" + root}
		}
		writeJSON(w, http.StatusOK, document{"paths": paths})
		return true
	}
	root, ok := strings.CutPrefix(rest, "v3/")
	if !ok {
		return false
	}
	paths := document{}
	for _, k := range s.served() {
		if strings.TrimPrefix(k.root(), "/") == root {
			paths[k.itemPath()] = document{"patch": k.patchOperation()}
		}
	}
	if len(paths) == 0 {
		return false
	}
	writeJSON(w, http.StatusOK, document{"openapi": "3.0.0", "info": document{"title": "Kubernetes", "version": Version}, "paths": paths})
	return true
}

func (k *kind) itemPath() string {
	if k.namespaced {
		return k.root() + "/namespaces/{namespace}/" + k.resource + "/{name}"
	}
	return k.root() + "/" + k.resource + "/{name}"
}

func (k *kind) patchOperation() document {
	var parameters []document
	for _, name := range []string{"dryRun", "fieldManager", "fieldValidation"} {
		parameters = append(parameters, document{"name": name, "in": "query", "schema": document{"type": "string"}})
	}
	return document{
		"parameters":                      parameters,
		"responses":                       document{"200": document{"description": "OK"}},
		"x-kubernetes-action":             "patch",
		"x-kubernetes-group-version-kind": document{"group": k.group, "version": k.version, "kind": k.kind},
	}
}

// writeTyped answers 200 with the Content-Type that is already set.
func writeTyped(w http.ResponseWriter, value any) {
	w.WriteHeader(http.StatusOK)
	_ = json.NewEncoder(w).Encode(value) // fails only if the client is gone
}
