{{- /* A value of a flag: numbers without an exponent, lists with commas. */ -}}
{{- define "kube-router.value" -}}
{{- if kindIs "slice" . -}}
{{- range $i, $v := . }}{{ if $i }},{{ end }}{{ include "kube-router.value" $v }}{{ end -}}
{{- else if kindIs "float64" . -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}
