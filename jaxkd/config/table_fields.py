"""The fields of tables and of their cells are declared here."""

from jaxkd.config.fields import Block, Field

CELL = Block(
  "",
  "A cell.",
  (
    Field("row", str, ..., "Row that the cell stands in."),
    Field("column", str, ..., "Column that it stands in."),
    Field(
      "value",
      str,
      "student.accuracy",
      "Where its number stands in report.json.",
    ),
    Field(
      "published", float, None, "Number of the paper, in the unit of the table."
    ),
    Field("control", str, "", "Cell of the table that this one has to beat."),
  ),
)
TABLE = Block(
  "",
  "A table of runs.",
  (
    Field("table", str, ..., "Name of the table."),
    Field("title", str, ..., "Which table of which paper it is, on what data."),
    Field("rows", tuple[str, ...], ..., "Names of its rows, in order."),
    Field("columns", tuple[str, ...], ..., "Names of its columns, in order."),
    Field("unit", str, "percent", "Unit of all numbers.", ("percent", "nats")),
    Field(
      "figures", tuple[str, ...], (), "Figures that are drawn from the cells."
    ),
    Field(
      "mean",
      bool,
      False,
      "Whether a last row has the mean and the standard deviation of all rows.",
    ),
    Field(
      "prices",
      tuple[str, ...],
      (),
      "Columns with the accuracy and the calibration error of honest users, "
      "where rows are defences, the first one none, and columns attacks.",
    ),
  ),
)
