"""The band: a song heard as a lead sheet, and another genre's players along with it."""
