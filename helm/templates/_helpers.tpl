{{/* Names and labels. Call with the root context and the component: (list . "gateway"). */}}

{{- define "nextclick.name" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" (trunc 40 $root.Release.Name | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{- define "nextclick.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "nextclick.labels" -}}
{{- $root := index . 0 -}}
{{ include "nextclick.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image of ours: (list . .Values.image). */}}
{{- define "nextclick.image" -}}
{{- $image := index . 1 -}}
{{ printf "%s:%s" $image.repository ($image.tag | default (index . 0).Chart.AppVersion) | quote }}
{{- end -}}

{{/* The fewest pods of a component: (list . "gateway"). */}}
{{- define "nextclick.leastPods" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- $scaling := $values.autoscaling | default (dict "enabled" false) -}}
{{- ternary $scaling.minReplicas $values.replicas $scaling.enabled | int -}}
{{- end -}}

{{/* Number of pods that a Deployment's manifest says: (list . "gateway"); nothing where an autoscaler has had it from the
     start. Where it had a fixed number before, it goes on saying what there is: Helm would take the number away, which
     is 1 to Kubernetes. The annotation nextclick/replicas tells the two apart. */}}
{{- define "nextclick.replicas" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
{{- if not $values.autoscaling.enabled -}}
{{ int64 $values.replicas }}
{{- else -}}
{{- with lookup "apps/v1" "Deployment" $root.Release.Namespace (include "nextclick.name" .) -}}
{{- if not (hasKey (.metadata.annotations | default dict) "nextclick/replicas") -}}
{{ int64 .spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where Triton is, for those who call it. gRPC balances over every address behind the headless Service. */}}
{{- define "nextclick.tritonUrl" -}}
{{- if .Values.triton.enabled -}}
{{- printf "dns:///%s:%d" (include "nextclick.name" (list . "triton-pods")) (int .Values.triton.grpcPort) -}}
{{- else -}}
{{- .Values.triton.externalUrl -}}
{{- end -}}
{{- end -}}

{{- define "nextclick.archivePath" -}}
{{- .Values.storage.archive.url | default "/archive" -}}
{{- end -}}

{{/* The model repository as Triton and training see it. */}}
{{- define "nextclick.modelRepository" -}}
{{- $models := .Values.storage.models -}}
{{- if eq $models.kind "url" -}}{{ $models.url }}
{{- else if eq $models.kind "image" -}}{{ $models.path }}
{{- else -}}/models
{{- end -}}
{{- end -}}

{{/* A claim's name: (list . "archive" .Values.storage.archive). */}}
{{- define "nextclick.claim" -}}
{{- (index . 2).existingClaim | default (include "nextclick.name" (list (index . 0) (index . 1))) -}}
{{- end -}}
