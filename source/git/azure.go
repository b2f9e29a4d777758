package git

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sane-gitops/sane/source"
	"github.com/sane-gitops/sane/source/web"
)

// azureDevOps is what a token is to be good for.
const azureDevOps = "499b84ac-1321-427f-aa17-267ca6975798/.default"

// A workload is the identity that Azure has for this program, by the variables
// that its webhook puts into the environment of a pod.
type workload struct {
	authority, tenant, client string
	file                      string // with the token of the pod's service account
}

func workloadHere() workload {
	w := workload{
		authority: os.Getenv("AZURE_AUTHORITY_HOST"), tenant: os.Getenv("AZURE_TENANT_ID"),
		client: os.Getenv("AZURE_CLIENT_ID"), file: os.Getenv("AZURE_FEDERATED_TOKEN_FILE"),
	}
	if w.authority == "" {
		w.authority = "https://login.microsoftonline.com/"
	}
	return w
}

// azureOffice returns where tokens for Azure DevOps come from.
func (s *Source) azureOffice(p place) *office {
	w := workloadHere()
	return &office{
		name: "this program's Azure workload identity",
		key:  web.Key(source.Access{}, "azure", w.authority, w.tenant, w.client, w.file),
		ask:  func(ctx context.Context) (string, time.Time, error) { return w.token(ctx, p, s.Now()) },
		use:  func(a *source.Access, token string) { a.Cloud, a.Username, a.Password, a.Bearer = "", "", "", token },
	}
}

// token exchanges the service account's token for one of Azure's.
func (w workload) token(ctx context.Context, p place, now time.Time) (string, time.Time, error) {
	if w.tenant == "" || w.client == "" || w.file == "" {
		return "", time.Time{}, denied("there is none: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE must be set; " +
			"label the controller's pod azure.workload.identity/use=true and annotate its service account")
	}
	proof, err := os.ReadFile(w.file)
	if err != nil {
		return "", time.Time{}, denied("its token can't be read: " + err.Error())
	}
	client, err := p.client()
	if err != nil {
		return "", time.Time{}, err
	}
	defer client.CloseIdleConnections()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {w.client}, "scope": {azureDevOps},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {strings.TrimSpace(string(proof))},
	}
	at := strings.TrimSuffix(w.authority, "/") + "/" + url.PathEscape(w.tenant) + "/oauth2/v2.0/token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return "", time.Time{}, denied("AZURE_AUTHORITY_HOST is not a URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, data, err := send(client, req)
	if err != nil {
		return "", time.Time{}, err
	}
	return readAzure(resp, data, now)
}

// readAzure reads what Azure has answered.
func readAzure(resp *http.Response, data []byte, now time.Time) (string, time.Time, error) {
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
		Error   string `json:"error"`
		Codes   []int  `json:"error_codes"`
	}
	err := json.Unmarshal(data, &answer)
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", time.Time{}, &failure{text: resp.Request.URL.Host + " answers " + resp.Status, kind: source.ErrNetwork}
	case resp.StatusCode != http.StatusOK:
		return "", time.Time{}, denied(fmt.Sprintf("%s answers %s: %s %v", resp.Request.URL.Host, resp.Status, answer.Error, answer.Codes))
	case err != nil || answer.Token == "":
		return "", time.Time{}, denied("the answer of " + resp.Request.URL.Host + " holds no token")
	}
	return answer.Token, now.Add(time.Duration(answer.Seconds) * time.Second), nil
}
