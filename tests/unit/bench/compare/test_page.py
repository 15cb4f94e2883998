#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page of rota-compare, parsed: that it is whole, alone, says what the result says, and stands
whatever names and gaps a result has.

    test_page.py RENDER [test...]      RENDER is render.c, built
"""
import copy
import html.parser
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import unittest

import example

RENDER = ""
VOID = {"meta", "link", "br", "img", "input", "hr"}
# These would load something, or run on what a result says.
LOADING = {"src", "srcset", "background", "poster", "action", "onload", "onclick"}


class Page(html.parser.HTMLParser):
    """Refuses what is not well-formed; remembers what the tests look at."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts, self.scripts = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"an attribute twice in {tag}: {attrs}"
        assert all(re.fullmatch("[a-z-]+", name) for name in attributes), f"in {tag}: {attrs}"
        self.elements.append((tag, attributes, [name for name, _ in self.open]))
        if tag not in VOID:
            self.open.append((tag, attributes))
            if tag == "script":
                self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> within {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1][0] != "style":
            self.texts.append(data)

    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag, class_name=None):
        return [attributes for name, attributes, _ in self.elements if name == tag and
                (class_name is None or class_name in attributes.get("class", "").split())]


def render(result, path=None):
    """Returns how the program ended, and the page's text."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "result.json")
        target = path or os.path.join(folder, "page.html")
        with open(source, "w", encoding="utf-8") as file:
            json.dump(result, file)
        done = subprocess.run([RENDER, source, target], capture_output=True, text=True, check=False)
        if done.returncode or os.path.islink(target):
            return done, ""
        with open(target, encoding="utf-8") as file:
            return done, file.read()


def page_of(result):
    done, text = render(result)
    assert done.returncode == 0, done.stderr
    return Page(text)


def without(value, path=()):
    """Every way to take one member, or one element of an array, out of it."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield path + (key,)
            yield from without(value[key], path + (key,))


def take_out(result, path, instead):
    changed = copy.deepcopy(result)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if instead is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = instead
    return changed


def small():
    """One point, two variants, one round: few enough members to try each of them."""
    result = example.result()
    point = result["points"][0]
    result["points"] = [point]
    result["variants"] = [one for one in result["variants"] if one["name"] in ("uring", "epoll")]
    point["results"] = [one for one in point["results"] if one["variant"] in ("uring", "epoll")]
    point["comparisons"] = [one for one in point["comparisons"] if one["variant"] == "uring"]
    for one in point["results"]:
        one["rounds"] = [{key: one["rounds"][0][key] for key in ("steal", "syscalls")}]
        one["figures"] = {key: one["figures"][key]
                          for key in ("cpu_ns", "cpu_user_ns", "cpu_system_ns")}
        one["histogram"] = one["histogram"][::20]
    return result


class TestPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.result = example.result()
        cls.page = page_of(cls.result)

    def test_it_is_alone(self):
        for tag, attributes, _ in self.page.elements:
            self.assertFalse(LOADING & set(attributes), (tag, attributes))
            self.assertNotIn(tag, ("link", "iframe", "img", "object", "embed"))
            self.assertRegex(attributes.get("href", "#"), "^#")
            self.assertNotIn("url(", attributes.get("style", ""))

    def test_names_that_are_markup_stay_text(self):
        self.assertEqual(self.page.all("b", "") + [one for one in self.page.all("b")
                                                  if not one.get("class")], [])
        self.assertEqual(len(self.page.scripts), 2)
        text = self.page.text()
        for words in (example.HARD, f"ended {example.HARD}", f"System {example.HARD}",
                      f"A note {example.HARD}", f"too old {example.HARD}"):
            self.assertIn(" ".join(words.split()), text)

    def test_the_result_is_inside_to_the_letter(self):
        inside = json.loads(self.page.scripts[0])
        self.assertEqual(inside["points"][0]["results"], self.result["points"][0]["results"])
        self.assertEqual(inside["variants"], self.result["variants"])
        self.assertTrue(inside["verdict"])

    def test_verdict_comes_before_machine_and_machine_before_figures(self):
        ids = [attributes["id"] for _, attributes, _ in self.page.elements if "id" in attributes]
        self.assertEqual(ids[:3], ["verdict", "machine", "w1"])
        self.assertEqual(len(ids), len(set(ids)))
        text = self.page.text()
        self.assertIn("By CPU time, on this machine: io_uring for echo", text)

    def test_links_lead_somewhere(self):
        ids = {attributes.get("id") for _, attributes, _ in self.page.elements}
        links = [one["href"][1:] for one in self.page.all("a")]
        self.assertGreater(len(links), 8)
        self.assertLessEqual(set(links), ids)

    def test_every_sentence_is_there(self):
        inside = json.loads(self.page.scripts[0])
        text = self.page.text()
        sentences = [one for point in inside["points"] for one in point["words"]]
        self.assertGreater(len(sentences), 10)
        for sentence in sentences:
            self.assertIn(" ".join(sentence.split()), text)

    def test_a_point_says_under_which_load_it_holds(self):
        words = f"Load: closed loop, servers saturated {example.HARD} ; rota-load on uring"
        self.assertIn(" ".join(words.replace(" ;", ";").split()), self.page.text())
        self.assertIn("Called different 40", self.page.text())
        self.assertIn("Would be alone 43", self.page.text())

    def test_without_a_split_there_is_no_bar_of_it(self):
        result = small()
        self.assertIn("User and system", page_of(result).text())
        for one in result["points"][0]["results"]:
            one["figures"]["cpu_user_ns"] = one["figures"]["cpu_system_ns"] = None
        self.assertNotIn("User and system", page_of(result).text())

    def test_charts_have_a_name_and_a_table_behind_them(self):
        charts = [index for index, (tag, attributes, _) in enumerate(self.page.elements)
                  if tag == "svg" and attributes.get("role") == "img"]
        # Latency at four points; CPU and throughput of the two echoes.
        self.assertEqual(len(charts), 6)
        for index in charts:
            self.assertIn("table that follows", self.page.elements[index][1]["aria-label"])
            following = [tag for tag, _, _ in self.page.elements[index + 1:]]
            self.assertIn("table", following[:following.index("article")
                                             if "article" in following else None])
        for tag, attributes, parents in self.page.elements:
            if tag == "svg" and "aria-hidden" not in attributes:
                self.assertIn("figure", parents)

    def test_drawings_are_inside_their_frame(self):
        numbers = 0
        for attributes in self.page.all("path"):
            if attributes.get("class") not in ("line", "span", "dot", "grid"):
                continue
            for number in re.findall(r"-?[0-9.]+|nan|inf", attributes["d"]):
                self.assertTrue(0 <= float(number) <= 100, attributes["d"])
                numbers += 1
        for tag, attributes, _ in self.page.elements:
            style = attributes.get("style", "")
            for share in re.findall(r"(?:left|width|bottom):([^;%]*)%", style):
                self.assertTrue(0 <= float(share) <= 100.01, (tag, attributes))
                numbers += 1
        self.assertGreater(numbers, 500)

    def test_curves_rise_with_the_percentile(self):
        lines = [attributes["d"] for attributes in self.page.all("path", "line")
                 if attributes["d"].count("L") > 20]
        self.assertGreaterEqual(len(lines), 8)
        for line in lines:
            points = [tuple(map(float, one.split())) for one in re.split("[ML]", line)[1:]]
            for (x, y), (next_x, next_y) in zip(points, points[1:]):
                self.assertLess(x, next_x)
                self.assertGreaterEqual(y, next_y)

    def test_forest_rows_are_where_the_ratio_is(self):
        """The one scale of the overview: a mark's place grows with the logarithm of its ratio."""
        marks = {}
        inside = json.loads(self.page.scripts[0])
        places = [float(re.search(r"left:([0-9.]+)%", one["style"])[1])
                  for one in self.page.all("b", "dot")]
        ratios = [one["ratio"] for point in inside["points"] for one in point["comparisons"]
                  if one["variant"] == "uring" and one["figure"] == "cpu_ns"]
        for ratio, place in zip(ratios, places):
            marks[math.log(ratio)] = place
        ordered = sorted(marks)
        self.assertEqual([marks[one] for one in ordered], sorted(marks.values()))
        (first, last) = (ordered[0], ordered[-1])
        for one in ordered[1:-1]:
            expected = marks[first] + ((one - first) / (last - first) *
                                       (marks[last] - marks[first]))
            self.assertAlmostEqual(marks[one], expected, delta=0.05)

    def test_a_table_names_its_cells_for_narrow_screens(self):
        cells = [attributes for tag, attributes, _ in self.page.elements if tag == "td"]
        self.assertGreater(len(cells), 100)
        for attributes in cells:
            if attributes.get("class") != "plot":
                self.assertTrue(attributes.get("data-label"), attributes)


class TestGaps(unittest.TestCase):
    def assert_pages(self, results):
        """A page comes of each; `results` yields what was done to one and the one. One process
        renders them all."""
        with tempfile.TemporaryDirectory() as folder:
            paths, names = [], []
            for name, result in results:
                paths.append(os.path.join(folder, str(len(paths))))
                names.append(name)
                with open(f"{paths[-1]}.json", "w", encoding="utf-8") as file:
                    json.dump(result, file)
            done = subprocess.run(
                [RENDER, *(f"{path}.{kind}" for path in paths for kind in ("json", "html"))],
                capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertGreater(len(paths), 100)
            for name, path in zip(names, paths):
                with self.subTest(name), open(f"{path}.html", encoding="utf-8") as file:
                    Page(file.read())

    def test_every_member_may_be_missing(self):
        result = small()
        self.assert_pages((path, take_out(result, path, None)) for path in without(result)
                          if path != ("points",))

    def test_every_member_may_be_something_else(self):
        result = small()
        self.assert_pages(((path, instead), take_out(result, path, instead))
                          for path in without(result)
                          if path not in (("points",), ("points", 0))
                          for instead in ("text", 1e308, -5, [7]))

    def test_what_is_no_result_is_refused(self):
        for nothing in ({}, {"points": 7}, {"points": [7]}):
            done, _ = render(nothing)
            self.assertEqual(done.returncode, 1)
            self.assertIn("Invalid argument", done.stderr)

    def test_no_points_make_a_page(self):
        page_of({"points": []})

    def test_a_machine_without_io_uring_says_so_first(self):
        result = small()
        result["engines"][0].update(usable=False, why_not="a seccomp filter forbids it")
        text = page_of(result).text()
        self.assertLess(text.index("io_uring cannot be used here: a seccomp filter forbids it"),
                        text.index("By CPU time"))


class TestFile(unittest.TestCase):
    def test_a_full_disk_is_told_and_leaves_the_old_page(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "page.html")
            with open(target, "w", encoding="utf-8") as file:
                file.write("the old one")
            os.symlink("/dev/full", f"{target}.partial")
            done, _ = render(example.result(), target)
            self.assertEqual(done.returncode, 1)
            self.assertIn("No space left", done.stderr)
            self.assertFalse(os.path.islink(target))
            with open(target, encoding="utf-8") as file:
                self.assertEqual(file.read(), "the old one")
            self.assertEqual(os.listdir(folder), ["page.html"])

    def test_no_such_folder_is_told(self):
        done, _ = render(example.result(), "/no/such/folder/page.html")
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file", done.stderr)


if __name__ == "__main__":
    RENDER = sys.argv.pop(1)
    unittest.main()
