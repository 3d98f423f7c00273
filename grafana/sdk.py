"""Panels as Grafana's SDK builds them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from wasmtrace.grafana.panels import Column, Graph, Number, Offenders, Panel, Query, Table

PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
APP_UID = "wasmtrace-app"
_KEEP = "${datasource:queryparam}&${tempo:queryparam}&${__url_time_range}"
_TRACES = json.dumps(
    {
        "traces": {
            "datasource": "${tempo}",
            "queries": [
                {
                    "refId": "A",
                    "queryType": "traceql",
                    "query": '{ resource.service.name =~ "${__field.labels.module}.*" }',
                }
            ],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    },
    separators=(",", ":"),
)
_TRACES_URL = "/explore?schemaVersion=1&orgId=1&panes=" + quote(_TRACES, safe="${}")
_NEUTRAL = models.Threshold(value=None, color="blue")


def panel(each: Panel) -> Any:
    """The SDK's builder of a panel."""
    match each:
        case Graph():
            return _graph(each)
        case Number():
            return _number(each)
        case Offenders():
            return _offenders(each)
        case Table():
            return _table(each)


def _graph(graph: Graph) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.description)
        .datasource(PROMETHEUS)
        .unit(graph.unit)
        .min(0)
        .span(graph.width)
        .height(8)
        .line_width(1)
        .fill_opacity(40 if graph.stacked else 8)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.RIGHT)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
            .sort_by("Last *")
            .sort_desc(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if graph.maximum is not None:
        built.max(graph.maximum)
    if graph.logarithmic:
        built.scale_distribution(common.ScaleDistributionConfig().type(common_models.ScaleDistribution.LOG).log(10))
    if graph.stacked:
        built.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    links: list[Any] = []
    if graph.to_app:
        links.append(_link("Open this app", _app_url("${__field.labels.module}")))
    if graph.traces:
        links.append(_link("Traces of this time", _TRACES_URL))
    if links:
        built.data_links(links)
    for place, query in enumerate(graph.queries):
        built.with_target(_range(query, place).exemplar(graph.traces))
    return built


def _number(number: Number) -> stat.Panel:
    built = (
        stat.Panel()
        .title(number.title)
        .description(number.description)
        .datasource(PROMETHEUS)
        .unit(number.unit)
        .no_value(number.no_value)
        .span(number.width)
        .height(4)
        .thresholds(_thresholds(number.orange, number.red))
        .color_mode(_colour_mode(number))
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(_instant(number.query, 0))
    )
    if number.names:
        built.text_mode(common_models.BigValueTextMode.VALUE_AND_NAME)
    return built


def _colour_mode(number: Number) -> common_models.BigValueColorMode:
    if number.orange is None and number.red is None:
        return common_models.BigValueColorMode.NONE
    return common_models.BigValueColorMode.BACKGROUND_SOLID


def _offenders(offenders: Offenders) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .title(offenders.title)
        .description(offenders.description)
        .datasource(PROMETHEUS)
        .unit(offenders.unit)
        .min(0)
        .span(offenders.width)
        .height(8)
        .no_value("none")
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps([_NEUTRAL]))
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .data_links([_link("Open this app", _app_url("${__field.labels.module}"))])
        .with_target(_instant(offenders.query, 0))
    )


def _table(rows: Table) -> table.Panel:
    built = (
        table.Panel()
        .title(rows.title)
        .description(rows.description)
        .datasource(PROMETHEUS)
        .unit("short")
        .span(rows.width)
        .height(rows.height)
        .no_value(rows.no_value)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(models.DataTransformerConfig(id_val="organize", options=_organized(rows)))
    )
    if rows.sort_by:
        built.sort_by([common.TableSortByFieldState().display_name(rows.sort_by).desc(True)])
    for place, column in enumerate(rows.columns):
        built.with_target(_instant(column.query, place).format(PromQueryFormat.TABLE))
        built.override_by_name(column.title, _column_properties(column))
    heading = next((title for label, title in rows.keys if label == "module"), None)
    if heading is not None:
        url = _app_url('${__data.fields["' + heading + '"]}')
        link = {"title": "Open this app", "url": url, "targetBlank": False}
        built.override_by_name(heading, [models.DynamicConfigValue(id_val="links", value=[link])])
    return built


def _organized(rows: Table) -> dict[str, Any]:
    values = {f"Value #{_ref(place)}": column.title for place, column in enumerate(rows.columns)}
    if len(rows.columns) == 1:
        values = {"Value": rows.columns[0].title, **values}
    order = [label for label, _ in rows.keys] + list(values)
    return {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(order)},
        "renameByName": {**dict(rows.keys), **values},
    }


def _column_properties(column: Column) -> list[models.DynamicConfigValue]:
    properties = [models.DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.orange is not None or column.red is not None:
        steps = [{"value": each.value, "color": each.color} for each in _steps(column.orange, column.red)]
        properties.append(models.DynamicConfigValue(id_val="thresholds", value={"mode": "absolute", "steps": steps}))
        properties.append(models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-background"}))
    return properties


def _steps(orange: float | None, red: float | None) -> list[models.Threshold]:
    steps = [models.Threshold(value=None, color="green")]
    steps += [models.Threshold(value=orange, color="orange")] if orange is not None else []
    steps += [models.Threshold(value=red, color="red")] if red is not None else []
    return steps


def _thresholds(orange: float | None, red: float | None) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(_steps(orange, red))


def _ref(place: int) -> str:
    return chr(ord("A") + place)


def _query(query: Query, place: int) -> prometheus.Dataquery:
    built = prometheus.Dataquery().datasource(PROMETHEUS).expr(query.expression).ref_id(_ref(place))
    return built.legend_format(query.legend) if query.legend else built


def _range(query: Query, place: int) -> prometheus.Dataquery:
    return _query(query, place).range()


def _instant(query: Query, place: int) -> prometheus.Dataquery:
    return _query(query, place).instant()


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).url(url).type(models.DashboardLinkType.LINK).target_blank(False)


def _app_url(module: str) -> str:
    return f"/d/{APP_UID}?var-module={module}&{_KEEP}"
