-- Parentheses to the parser's depth.
-- load: syntax
return
--@ repeat 1000 (
1
--@ repeat 1000 )
