"""What is right and what is wrong in an Alertmanager file: our verdict, amtool's, and the table's are the same.

A case is left to the table alone where the amtool that is installed is older than the field.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from alerting.config import load_alertmanager
from app.errors import ConfigError

DEBIAN, UTF8, NEWEST = (0, 25), (0, 27), (0, 34)
URL = "https://example.org/x"
# entries of receivers, by type: since which version the type is known, right ones, wrong ones
ENTRIES: dict[str, tuple[tuple[int, int], list[str], list[str]]] = {
    "webhook": (
        DEBIAN,
        [f"url: {URL}", f"{{url: {URL}, max_alerts: 3, send_resolved: no}}", f"{{url: {URL}, http_config: null}}"],
        [
            "{}",
            "url: ftp://example.org",
            "url: https://",
            f"{{url: {URL}, max_alerts: -1}}",
            f"{{url: {URL}, max_alerts: many}}",
            f"{{url: {URL}, send_resolved: maybe}}",
            f"{{url: {URL}, uri: x}}",
            "null",
            f"{{url: {URL}, http_config: []}}",
        ],
    ),
    "pagerduty": (
        DEBIAN,
        [
            "routing_key: k",
            "service_key: 12345",
            "{routing_key: k, details: {a: 1, b: yes}, images: [{src: s}]}",
            "{routing_key: k, url: https://example.org, class: c, severity: x}",
            "routing_key_file: f",
        ],
        [
            "{}",
            "{routing_key: ''}",
            "{routing_key: k, routing_key_file: f}",
            "{service_key: k, service_key_file: f}",
            "{routing_key: k, url: nowhere}",
            "{routing_key: k, links: [{url: x}]}",
            "{routing_key: k, details: [a]}",
            "null",
        ],
    ),
    "opsgenie": (
        DEBIAN,
        [
            "api_key: k",
            "{api_key_file: f, responders: [{id: x, type: TEAM}]}",
            "{api_key: k, responders: [{name: x, type: teams}], update_alerts: true, entity: e, actions: 'a,b'}",
        ],
        [
            "{}",
            "{api_key: k, api_key_file: f}",
            "{api_key: k, responders: [{type: team}]}",
            "{api_key: k, responders: [{id: x, type: nobody}]}",
            "{api_key: k, responders: [{id: x}]}",
            "{api_key: k, api_url: x}",
            "{api_key: k, details: {a: [b]}}",
        ],
    ),
    "email": (
        DEBIAN,
        [
            "{to: a@b, from: c@d, smarthost: 'x:25'}",
            "{to: a@b, from: c@d, smarthost: ':25'}",
            "{to: a@b, from: c@d, smarthost: '[::1]:25', headers: {subject: x}, require_tls: off}",
            "{to: a@b, from: c@d, smarthost: 'x:25', tls_config: {insecure_skip_verify: true}}",
        ],
        [
            "{to: a@b}",
            "{to: a@b, from: c@d}",
            "{to: a@b, smarthost: 'x:25'}",
            "{from: c@d, smarthost: 'x:25'}",
            "{to: a@b, from: c@d, smarthost: x}",
            "{to: a@b, from: c@d, smarthost: 'x:'}",
            "{to: a@b, from: c@d, smarthost: '::1:25'}",
            "{to: a@b, from: c@d, smarthost: 'x:25', require_tls: 'true'}",
            "{to: a@b, from: c@d, smarthost: 'x:25', headers: {to: x, To: y}}",
        ],
    ),
    "slack": (
        DEBIAN,
        [
            f"api_url: {URL}",
            f"{{api_url: {URL}, channel: 7, fields: [{{title: 007, value: yes}}]}}",
            f"{{api_url: {URL}, actions: [{{type: button, text: t, name: n, confirm: {{text: sure}}}}]}}",
            "api_url_file: f",
            f"{{api_url: {URL}, short_fields: on, mrkdwn_in: [text]}}",
        ],
        [
            "{}",
            f"{{api_url: {URL}, api_url_file: f}}",
            f"{{api_url: {URL}, fields: [{{title: t}}]}}",
            f"{{api_url: {URL}, fields: [{{title: '', value: v}}]}}",
            f"{{api_url: {URL}, actions: [{{type: b, text: t}}]}}",
            f"{{api_url: {URL}, actions: [{{text: t, url: u}}]}}",
            f"{{api_url: {URL}, actions: [{{type: b, url: u}}]}}",
            f"{{api_url: {URL}, actions: [{{type: b, text: t, name: n, confirm: {{title: x}}}}]}}",
            f"{{api_url: {URL}, link_names: 1}}",
        ],
    ),
    "discord": (
        DEBIAN,
        [f"{{webhook_url: {URL}, title: t, message: m}}"],
        ["{}", "webhook_url: x", "null"],
    ),
    "pushover": (
        DEBIAN,
        ["{user_key: u, token: t, retry: 1m30s, expire: 1.5h}", "{user_key: u, token: t, html: true}"],
        [
            "{}",
            "{user_key: u}",
            "{token: t}",
            "{user_key: u, token: t, retry: 60}",
            "{user_key: u, token: t, retry: 1d}",
        ],
    ),
    "sns": (
        DEBIAN,
        ["{topic_arn: t, sigv4: {}}", "{phone_number: +1234, sigv4: {access_key: a, secret_key: s}}"],
        ["sigv4: {}", "{topic_arn: t, target_arn: t, sigv4: {}}", "{topic_arn: t, sigv4: {access_key: a}}"],
    ),
    "telegram": (
        DEBIAN,
        ["{bot_token: t, chat_id: -7, api_url: https://example.org}", "{bot_token: t, chat_id: 7, parse_mode: ''}"],
        [
            "{bot_token: t, chat_id: 0, api_url: https://example.org}",
            "{bot_token: t}",
            "{bot_token: t, chat_id: x}",
            "{bot_token: t, chat_id: 7, parse_mode: Text}",
            "{chat_id: 7}",
        ],
    ),
    "victorops": (
        DEBIAN,
        ["{api_key: k, routing_key: r}", "{api_key: k, routing_key: r, custom_fields: {a: 1}}"],
        [
            "api_key: k",
            "routing_key: r",
            "{api_key: k, api_key_file: f, routing_key: r}",
            "{api_key: k, routing_key: r, custom_fields: {entity_id: x}}",
        ],
    ),
    "webex": (
        DEBIAN,
        ["{room_id: r, http_config: {authorization: {credentials: c}}}"],
        ["room_id: r", "http_config: {authorization: {credentials: c}}", "{room_id: r, http_config: {}}"],
    ),
    "wechat": (
        DEBIAN,
        ["{api_secret: s, corp_id: c}", "{api_secret: s, corp_id: c, message_type: markdown}"],
        ["api_secret: s", "corp_id: c", "{api_secret: s, corp_id: c, message_type: html}"],
    ),
    "msteams": (
        NEWEST,
        [f"webhook_url: {URL}", "webhook_url_file: f"],
        ["{}", f"{{webhook_url: {URL}, webhook_url_file: f}}"],
    ),
    "msteamsv2": (
        NEWEST,
        [f"{{webhook_url: {URL}, title: t, text: x}}"],
        ["{}", f"{{webhook_url: {URL}, summary: s}}"],
    ),
    "jira": (
        NEWEST,
        [
            f"{{api_url: {URL}, project: p, issue_type: t}}",
            f"{{api_url: {URL}, project: p, issue_type: t, summary: {{template: s, enable_update: false}}}}",
        ],
        [
            "{project: p, issue_type: t}",
            f"{{api_url: {URL}, project: p}}",
            f"{{api_url: {URL}, issue_type: t}}",
            f"{{api_url: {URL}, project: p, issue_type: t, api_type: x}}",
        ],
    ),
    "incidentio": (
        NEWEST,
        [f"{{url: {URL}, alert_source_token: t}}", f"url: {URL}"],
        [
            "alert_source_token: t",
            f"{{url: {URL}, http_config: {{}}}}",
            f"{{url: {URL}, alert_source_token: t, alert_source_token_file: f}}",
        ],
    ),
    "mattermost": (
        NEWEST,
        [f"{{webhook_url: {URL}, fields: [{{title: a, value: b}}]}}"],
        ["{}", f"{{webhook_url: {URL}, webhook_url_file: f}}", f"{{webhook_url: {URL}, fields: [{{title: a}}]}}"],
    ),
    "rocketchat": (
        NEWEST,
        ["{token: t, token_id: i, actions: [{type: button, url: u}]}"],
        ["token: t", "token_id: i", "{token: t, token_file: f, token_id: i}"],
    ),
}
HTTP: tuple[list[str], list[str]] = (
    [
        "follow_redirects: false",
        "enable_http2: false",
        "basic_auth: {username: u, password: p}",
        "authorization: {type: Token, credentials: c}",
        "bearer_token: t",
        "proxy_url: http://p:1",
        "oauth2: {client_id: i, client_secret: s, token_url: https://x}",
        "tls_config: {server_name: s}",
        "tls_config: {min_version: TLS13}",
        "basic_auth: {}",
        "authorization: {}",
    ],
    [
        "basic_auth: {password: p, password_file: f}",
        "authorization: {credentials: c, credentials_file: f}",
        "authorization: {type: Basic}",
        "{basic_auth: {}, bearer_token: t}",
        "{authorization: {}, bearer_token: t}",
        "{basic_auth: {}, authorization: {}}",
        "{bearer_token: t, bearer_token_file: f}",
        "oauth2: {client_id: i}",
        "oauth2: {token_url: t}",
        "oauth2: {client_id: i, client_secret: s, client_secret_file: f, token_url: t}",
        "{basic_auth: {}, oauth2: {client_id: i, token_url: t}}",
        "tls_config: {min_version: TLS9}",
        "tls_config: {insecure_skip_verify: 2}",
        "basic_auth: {user: u}",
        "follow_redirects: sometimes",
    ],
)
NEWER_HTTP: tuple[list[str], list[str]] = (
    [
        "{proxy_url: http://p, no_proxy: x}",
        "proxy_from_environment: true",
        "http_headers: {X-A: {values: [b]}}",
        "tls_config: {cert_file: c, key_file: k}",
        "basic_auth: {username_file: f}",
        "oauth2: {client_id: i, token_url: t, scopes: [a], endpoint_params: {a: b}}",
    ],
    [
        "no_proxy: x",
        "{proxy_from_environment: true, no_proxy: x}",
        "{proxy_url: http://p, proxy_from_environment: true}",
        "proxy_connect_header: {a: [b]}",
        "http_headers: {Content-Type: {values: [b]}}",
        "tls_config: {cert_file: c}",
        "tls_config: {key_file: k}",
        "tls_config: {ca: a, ca_file: f}",
        "basic_auth: {username: u, username_file: f}",
        "http_headers: {X-A: [b]}",
    ],
)
# parts of a whole file: since when they are known, right and wrong ones
FILES: list[tuple[tuple[int, int], list[str], list[str]]] = [
    (
        DEBIAN,
        [
            "route: {receiver: a}",
            "route: {receiver: a, group_by: ['...']}",
            "route: {receiver: a, group_by: []}",
            "route: {receiver: a, group_wait: 0s, group_interval: 1d}",
            "global: null\nroute: {receiver: a}",
            "global: {}\nroute: {receiver: a}",
            "route: {receiver: a, routes: [{continue: true}]}",
            "route: {receiver: a, routes: [{match: {x: 007}, match_re: {y: 'b|c'}}]}",
            "route: {receiver: a, routes: [{matchers: [x=y, 'a=~\"b\"']}]}",
            "route: {receiver: a, routes: null}",
            "route: {receiver: a, routes: [{mute_time_intervals: [n]}]}\ntime_intervals: [{name: n}]",
            "route: {receiver: a, routes: [{active_time_intervals: [n]}]}\nmute_time_intervals: [{name: n}]",
            "route: {receiver: a}\ninhibit_rules: [{source_match: {a: b}, target_match_re: {c: d}, equal: [e]}]",
            "route: {receiver: a}\ninhibit_rules: [{}]",
            "route: {receiver: a}\ntemplates: []",
            "route: {receiver: a}\ntemplates: [nothing/*.tmpl]",
            "global: {resolve_timeout: 1h30m}\nroute: {receiver: a}",
            "global: {smtp_require_tls: no, smtp_smarthost: ''}\nroute: {receiver: a}",
            "route: {receiver: a}\ntime_intervals: [{name: n, time_intervals: [{times: [{start_time: 17:00, end_time: "
            "24:00}], weekdays: [monday:friday, Sunday], days_of_month: ['-3:-1', 5], months: [may], years: [2026]}]}]",
            "route: {receiver: a}\ntime_intervals: [{name: n, time_intervals: [{location: Europe/Berlin}]}]",
        ],
        [
            "global: {}",
            "route: {}",
            "route: {receiver: b}",
            "route: {receiver: a, group_by: [a, a]}",
            "route: {receiver: a, group_by: ['...', a]}",
            "route: {receiver: a, group_by: ['']}",
            "route: {receiver: a, group_interval: 0s}",
            "route: {receiver: a, repeat_interval: 0s}",
            "route: {receiver: a, group_wait: -1s}",
            "route: {receiver: a, group_wait: 5}",
            "route: {receiver: a, group_wait: 1.5h}",
            "route: {receiver: a, continue: true}",
            "route: {receiver: a, match: {x: y}}",
            "route: {receiver: a, matchers: [x=y]}",
            "route: {receiver: a, mute_time_intervals: [n]}\ntime_intervals: [{name: n}]",
            "route: {receiver: a, routes: [{receiver: b}]}",
            "route: {receiver: a, routes: [{match: {'a-b': y}}]}",
            "route: {receiver: a, routes: [{match_re: {x: '('}}]}",
            "route: {receiver: a, routes: [{match_re: {x: null}}]}",
            "route: {receiver: a, routes: [{matchers: [x]}]}",
            "route: {receiver: a, routes: [{matchers: ['x=~(']}]}",
            "route: {receiver: a, routes: [{mute_time_intervals: [m]}]}",
            "route: {receiver: a}\ntime_intervals: [{}]",
            "route: {receiver: a}\ntime_intervals: [{name: n}, {name: n}]",
            "route: {receiver: a}\ntime_intervals: [{name: n}]\nmute_time_intervals: [{name: n}]",
            "route: {receiver: a}\ninhibit_rules: [{source_match: {'a-b': c}}]",
            "route: {receiver: a}\nroots: 1",
            "route: {receiver: a}\ninhibit_rules: [{equal: ['']}]",
            "route: {receiver: a}\nglobal: {x: y}",
            "route: {receiver: a}\ninhibit_rules: [{source_matchers: [a~b]}]",
            "route: {receiver: a}\ntime_intervals: [{name: n, time_intervals: [{weekdays: [friday:monday]}]}]",
            "route: {receiver: a}\ntime_intervals: [{name: n, time_intervals: [{times: [{start_time: '9:00', "
            "end_time: '17:00'}]}]}]",
            "route: {receiver: a}\ntime_intervals: [{name: n, time_intervals: [{location: Moon/Base}]}]",
            "global: {resolve_timeout: soon}\nroute: {receiver: a}",
            "global: {smtp_smarthost: x}\nroute: {receiver: a}",
            "global: {slack_api_url: x}\nroute: {receiver: a}",
            "route: [a]",
            "route: {receiver: a}\nroute: {receiver: a}",
            "global: {opsgenie_api_key: k, opsgenie_api_key_file: f}\nroute: {receiver: a}",
        ],
    ),
    (
        UTF8,
        [
            "route: {receiver: a, routes: [{matchers: ['\"a b\"=c', 'ü=~\"x.\"']}], group_by: ['a b']}",
            "route: {receiver: a}\ninhibit_rules: [{equal: ['a b']}]",
        ],
        [
            "route: {receiver: a, routes: [{matchers: ['{{a=b}']}]}",
            "route: {receiver: a, routes: [{match: {'a b': c}}]}",
        ],
    ),
    (
        NEWEST,
        [
            "route: {receiver: a, labels: {a: '{{ .Status }}'}}",
            "route: {receiver: a}\ntracing: {endpoint: x}",
            "route: {receiver: a}\ninhibit_rules: [{name: n}]",
            "global: {slack_app_token: t}\nroute: {receiver: a}",
        ],
        [
            "route: {receiver: a, labels: {'': x}}",
            "route: {receiver: a}\ntracing: {client_type: udp, endpoint: x}",
            "route: {receiver: a}\ntracing: {}",
            "route: {receiver: a}\ntracing: {endpoint: x, compression: zstd}",
            "global: {slack_app_token: t, slack_api_url: https://x}\nroute: {receiver: a}",
            "global: {smtp_auth_password: t, smtp_auth_password_file: f}\nroute: {receiver: a}",
        ],
    ),
]
NEWER_URLS: tuple[list[str], list[str]] = (
    ["http://x/{{ .Status }}", "{{ .CommonLabels.url }}"],
    ["http://x/{{ if }}", "{{", "x/{ .Status }"],
)
Case = tuple[str, bool, tuple[int, int]]


def _cases() -> list[Case]:
    found: list[Case] = []
    for kind, (since, right, wrong) in ENTRIES.items():
        frame = f"route: {{receiver: a}}\nreceivers:\n- name: a\n  {kind}_configs:\n  - "
        found += [(frame + text + "\n", text in right, since) for text in (*right, *wrong)]
    webhook = f"route: {{receiver: a}}\nreceivers:\n- name: a\n  webhook_configs:\n  - url: {URL}\n    http_config: "
    for since, (right, wrong) in ((DEBIAN, HTTP), (NEWEST, NEWER_HTTP)):
        found += [(f"{webhook}{_flow(text)}\n", text in right, since) for text in (*right, *wrong)]
    webhook = "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs:\n  - url: "
    found += [(f"{webhook}'{text}'\n", text in NEWER_URLS[0], NEWEST) for text in (*NEWER_URLS[0], *NEWER_URLS[1])]
    for since, right, wrong in FILES:
        found += [(f"{text}\nreceivers: [{{name: a}}]\n", text in right, since) for text in (*right, *wrong)]
    return found


def _flow(text: str) -> str:
    return text if text.startswith("{") else f"{{{text}}}"


CASES = _cases()


@pytest.mark.parametrize(("text", "right"), [case[:2] for case in CASES])
def test_verdict(text: str, right: bool, tmp_path: Path) -> None:
    """What is right loads; what is wrong is told with a line."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(text)
    if right:
        load_alertmanager(path)
        return
    with pytest.raises(ConfigError) as caught:
        load_alertmanager(path)
    assert all(problem.line for problem in caught.value.problems)


def test_amtool_says_the_same(tmp_path: Path) -> None:
    """Alertmanager's own checker, of the version that is here, has the table's verdict on all it knows."""
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    numbers = re.search(r"version (\d+)\.(\d+)", told.stdout + told.stderr)
    # one that was built by hand tells no version
    version = (int(numbers[1]), int(numbers[2])) if numbers else NEWEST
    known = {tmp_path / f"{n}.yml": case for n, case in enumerate(CASES) if case[2] <= version}
    assert len(known) > 150
    for path, (text, _, _) in known.items():
        path.write_text(text)
    verdicts = _verdicts(program, list(known))
    assert [text for path, (text, right, _) in known.items() if verdicts[path] is not right] == []


def _verdicts(program: str, paths: list[Path]) -> dict[Path, bool]:
    found: dict[Path, bool] = {}
    while left := [path for path in paths if path not in found]:
        told = subprocess.run([program, "check-config", *map(str, left)], capture_output=True, text=True)
        for name, verdict in re.findall(r"Checking '([^']*)'(?:time=.*?)?  (SUCCESS|FAILED)", told.stdout, re.DOTALL):
            found[Path(name)] = verdict == "SUCCESS"
        crashed = [path for path in left if path not in found]
        if crashed:
            found[crashed[0]] = False  # there are files at which it ends with a traceback, and reads no more
    return found
