"""Civitai's scheduler names, row by row as the contract lists them."""

import pytest

from imagemill.domain.images import DEFAULT, SAMPLERS, find

TABLE = """
| EulerA | eulerA | euler_ancestral | normal | euler_a / discrete |
| Euler | euler | euler | normal | euler / discrete |
| LMS | lms | lms | normal | euler / discrete |
| Heun | heun | heun | normal | heun / discrete |
| DPM2 | dpM2 | dpm_2 | normal | dpm2 / discrete |
| DPM2A | dpM2A | dpm_2_ancestral | normal | dpm++2s_a / discrete |
| DPM2SA | dpM2SA | dpmpp_2s_ancestral | normal | dpm++2s_a / discrete |
| DPM2M | dpM2M | dpmpp_2m | normal | dpm++2m / discrete |
| DPMSDE | dpmsde | dpmpp_sde | normal | dpm++2mv2 / discrete |
| DPMFast | dpmFast | dpm_fast | normal | euler / discrete |
| DPMAdaptive | dpmAdaptive | dpm_adaptive | normal | euler / discrete |
| LMSKarras | lmsKarras | lms | karras | euler / karras |
| DPM2Karras | dpM2Karras | dpm_2 | karras | dpm2 / karras |
| DPM2AKarras | dpM2AKarras | dpm_2_ancestral | karras | dpm++2s_a / karras |
| DPM2SAKarras | dpM2SAKarras | dpmpp_2s_ancestral | karras | dpm++2s_a / karras |
| DPM2MKarras | dpM2MKarras | dpmpp_2m | karras | dpm++2m / karras |
| DPMSDEKarras | dpmsdeKarras | dpmpp_sde | karras | dpm++2mv2 / karras |
| DDIM | ddim | ddim | normal | ddim_trailing / discrete |
| PLMS | plms | ddim | normal | ddim_trailing / discrete |
| UniPC | uniPC | uni_pc | normal | dpm++2m / discrete |
| Undefined | undefined | dpmpp_2m | karras | dpm++2m / karras |
| LCM | lcm | lcm | normal | lcm / lcm |
| DDPM | ddpm | ddpm | normal | - |
| DEIS | deis | deis | normal | - |
| DPM3MSDE | dpM3MSDE | dpmpp_3m_sde | normal | dpm++2mv2 / discrete |
| DPM2MSDE | - | dpmpp_2m_sde | normal | dpm++2mv2 / discrete |
| DPM2MSDEKarras | - | dpmpp_2m_sde | karras | dpm++2mv2 / karras |
| DPM3MSDEKarras | - | dpmpp_3m_sde | karras | dpm++2mv2 / karras |
| DPM3MSDEExponential | - | dpmpp_3m_sde | exponential | dpm++2mv2 / exponential |
"""
ROWS = [[cell.strip() for cell in line.strip("| ").split("|")] for line in TABLE.strip().splitlines()]
COMFY_SAMPLERS = """
euler euler_ancestral euler_cfg_pp euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms dpm_fast
dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp
dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis ddim uni_pc
uni_pc_bh2 res_multistep er_sde
"""


@pytest.mark.parametrize(("v1", "v2", "sampler", "scheduler", "sdcpp"), ROWS, ids=[row[0] for row in ROWS])
def test_a_name_means_this_sampler_and_scheduler(v1: str, v2: str, sampler: str, scheduler: str, sdcpp: str):
    row = find(v1)
    assert row is not None
    assert (row.v1, row.v2 or "-", row.sampler, row.scheduler) == (v1, v2, sampler, scheduler)
    assert " / ".join(filter(None, (row.sdcpp_method, row.sdcpp_schedule))) == sdcpp.strip("-")


@pytest.mark.parametrize("spelling", [name for row in ROWS for name in row[:2] if name != "-"])
def test_a_name_is_found_in_any_case(spelling: str):
    assert find(spelling) is find(spelling.upper()) is find(spelling.lower()) is not None


@pytest.mark.parametrize("row", [row for row in ROWS if row[1] != "-"], ids=lambda row: row[1])
def test_both_spellings_mean_the_same(row: list[str]):
    assert find(row[0]) is find(row[1])


def test_there_are_no_other_names():
    assert [row.v1 for row in SAMPLERS] == [row[0] for row in ROWS]


def test_the_published_clients_know_the_first_24():
    assert [row.v1 for row in SAMPLERS if row.in_v1_enum] == [row[0] for row in ROWS[:24]]


def test_comfyui_knows_every_sampler():
    assert {row.sampler for row in SAMPLERS} <= set(COMFY_SAMPLERS.split())
    assert {row.scheduler for row in SAMPLERS} == {"normal", "karras", "exponential"}


@pytest.mark.parametrize("name", ["HeunC", "Dopri5", "Bosh3", "", "-", "eulera ", "euler_ancestral"])
def test_an_unknown_name_is_not_found(name: str):
    assert find(name) is None


def test_the_default_is_what_undefined_means():
    assert (DEFAULT.sampler, DEFAULT.scheduler) == ("dpmpp_2m", "karras")
