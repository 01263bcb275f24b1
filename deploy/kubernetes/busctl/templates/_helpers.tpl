{{- define "busctl.labels" -}}
app.kubernetes.io/name: busctl
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "busctl.selector" -}}
app.kubernetes.io/name: busctl
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "busctl.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "busctl.secretName" -}}
{{ .Values.secrets.existing | default (printf "%s-secrets" .Release.Name) }}
{{- end }}

{{- /* What both kinds of pods have in common; part is the values of web, or of worker. */ -}}
{{- define "busctl.pod" -}}
automountServiceAccountToken: false
# Else each Service beside a release named bus is a variable that begins with BUS_, and is taken for a misspelt setting.
enableServiceLinks: false
# So that the pause container is process 1, and reaps what jobs leave behind.
shareProcessNamespace: true
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "busctl.selector" . | nindent 8 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {}
{{- end }}

{{- define "busctl.container" -}}
image: {{ include "busctl.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - name: tmp
    mountPath: /tmp
envFrom:
  - configMapRef: { name: {{ .root.Release.Name }}-settings }
  - secretRef: { name: {{ include "busctl.secretName" .root }} }
  {{- with .part.secret }}
  - secretRef: { name: {{ . }} }
  {{- end }}
resources: {{- toYaml .part.resources | nindent 2 }}
{{- end }}

{{- /* Pods are replaced when what they read at their start has changed. */ -}}
{{- define "busctl.annotations" -}}
checksum/settings: {{ include (print .root.Template.BasePath "/settings.yaml") .root | sha256sum }}
checksum/secrets: {{ include (print .root.Template.BasePath "/secrets.yaml") .root | sha256sum }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .port | quote }}
{{- with .part.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Helm takes numbers for fractions: it would write a large one as 1e+10, and has read another one than a larger one. */ -}}
{{- define "busctl.value" -}}
{{- if not (kindIs "float64" .) }}{{ . | quote }}
{{- else if or (gt . 9007199254740991.0) (lt . -9007199254740991.0) }}
{{- fail "a setting beyond 9007199254740991 is not read exactly as a number: write it in quotes" }}
{{- else if eq (floor .) . }}{{ int64 . | quote }}
{{- else }}{{ . | quote }}
{{- end }}
{{- end }}

{{- define "busctl.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "busctl.value" $value }}
{{- end }}
{{- end -}}
