"""Write the tables of configs and weights into README and docs, from configs/metafile.yml.

python docs/zoo.py            # after a change of the metafile, or of benchmarks/results/models.json
"""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
METAFILE = ROOT / 'configs' / 'metafile.yml'
MEASURED = ROOT / 'benchmarks' / 'results' / 'models.json'
BEGIN, END = '<!-- zoo:begin -->', '<!-- zoo:end -->'
# note of the configs that the authors have no models of
OTHER_BACKBONE = 'no weights of the authors'
METRICS = {'APe': 'AP^e', 'AP': 'AP', 'mIoU': 'mIoU', 'PQ': 'PQ'}


def models() -> list:
    """Read the entries of the metafile."""
    return yaml.safe_load(METAFILE.read_text(encoding='utf-8'))['Models']


def released(model: dict) -> bool:
    """Whether this is a config of its own at full size and full resolution, with a backbone of
    the authors.
    """
    metadata = model['Metadata']
    return not (
        '/demo/' in model['Config']
        or model['Name'].endswith('_lr')
        or 'Same As' in metadata
        or metadata.get('Note') == OTHER_BACKBONE
    )


def metric_of(model: dict) -> str:
    """Say the main metrics of a model, and whose they are."""
    parts = []
    for result in model.get('Results', ()):
        for key, value in result['Metrics'].items():
            metric, whose = key.split(' ', 1)
            if metric in METRICS:
                parts.append(f'{METRICS[metric]} {value}')
                source = 'measured here' if whose == 'measured here' else 'theirs'
    said = ', '.join(parts) + (f' ({source})' if parts else '')
    metadata = model['Metadata']
    same = f'same as `{metadata["Same As"]}`' if 'Same As' in metadata else ''
    return '; '.join(filter(None, (said, same, metadata.get('Note'))))


def measured(model: dict) -> str:
    """Say seconds and GiB of one image, where they were measured."""
    rows = json.loads(MEASURED.read_text(encoding='utf-8')) if MEASURED.is_file() else []
    for row in rows:
        if row['case']['model'] == model['Name']:
            took = row['measured']
            return f'{took["median_s"]:.3g} | {took["peak_mib"] / 1024:.1f}'
    return ' | '


def weights(model: dict) -> str:
    """Link the page of the authors, where there is one."""
    page = model['Metadata'].get('Weights Page')
    return f'[page]({page})' if page else ''


def work(model: dict) -> str:
    """Say parameters in millions and multiply-adds in G."""
    metadata = model['Metadata']
    return f'{metadata["Parameters"] / 1e6:.1f} | {metadata["FLOPs"] / 1e9:,.4g}'


def short_table() -> str:
    """Make the table of README: configs at full size."""
    rows = [
        f'| `{model["Name"]}` | {model["Metadata"]["Backbone"]} | {metric_of(model)} '
        f'| {work(model)} | {measured(model)} | {weights(model)} |'
        for model in models()
        if released(model)
    ]
    head = (
        '| config | backbone | reported by the authors, % | parameters, M | multiply-adds, G '
        '| s an image | GiB | their weights |\n' + '| --- ' * 8 + '|'
    )
    return '\n'.join([head, *(row.replace(' (theirs)', '') for row in rows)])


def long_table() -> str:
    """Make the table of docs/configs.md: every config."""
    rows = []
    for model in models():
        metadata = model['Metadata']
        name = model['Config'][len('configs/') :]
        rows.append(
            f'| `{name}` | {metadata["Batch Size"]} x {metadata["Iterations"]:,} '
            f'| {metadata["Classes"]} | {metadata["Queries"]} | {work(model)} '
            f'| {metadata["Input"]} | {metric_of(model)} | {weights(model)} |'
        )
    head = (
        '| config | batch x iterations | classes | queries | parameters, M | multiply-adds, G '
        '| of views | metric, % | weights of the authors |\n' + '| --- ' * 9 + '|'
    )
    return '\n'.join([head, *rows])


def release_table() -> str:
    """Make the table of docs/weights.md: where the weights of each config are."""
    rows = []
    for model in models():
        page = model['Metadata'].get('Weights Page')
        if page and released(model):
            folder = page.split('/tree/main/')[1]
            rows.append(f'| `{model["Name"]}.py` | [`{folder}`]({page}) |')
    return '\n'.join(['| CONFIG | FOLDER |\n| --- | --- |', *rows])


TABLES = {
    'README.md': short_table,
    'docs/configs.md': long_table,
    'docs/weights.md': release_table,
}


def with_table(text: str, table: str) -> str:
    """Put a table between the markers of a page.

    Raises:
        ValueError: If the page has not both markers.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f'the page has no {BEGIN} and {END}; add them where the table belongs')
    before, rest = text.split(BEGIN, 1)
    return f'{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}'


def stale_pages() -> dict:
    """Pages whose table is not that of the metafile, and what they should be."""
    texts = {name: (ROOT / name).read_text(encoding='utf-8') for name in TABLES}
    wanted = {name: with_table(texts[name], table()) for name, table in TABLES.items()}
    return {name: text for name, text in wanted.items() if text != texts[name]}


def main() -> None:
    """Write the pages that are stale."""
    stale = stale_pages()
    for name, text in stale.items():
        (ROOT / name).write_text(text, encoding='utf-8')
    print(', '.join(stale) or 'every table is as in the metafile')


if __name__ == '__main__':
    main()
