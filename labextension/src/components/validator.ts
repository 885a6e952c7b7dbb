/** Our look at values in the shape that RJSF takes. */

import type { ErrorSchema, RJSFSchema, RJSFValidationError, ValidatorType } from '@rjsf/utils';
import { ErrorSchemaBuilder } from '@rjsf/utils';

import type { Json, Problem, Schema } from '../model/records';
import { type Fault, faults } from '../model/schema';
import type { Translator } from '../model/words';

/** Values of a form. Narrower types, such as that of JSON, are endless to those of RJSF. */
export type Values = Record<string, unknown>;

export function validator(trans: Translator): ValidatorType<Values, RJSFSchema> {
  const look = (schema: unknown, value: unknown, root: unknown = schema): readonly Fault[] =>
    faults(schema as Schema, value as Json | undefined, root as Schema, trans);
  return {
    validateFormData: (value, schema) => {
      const found = look(schema, value);
      const builder = new ErrorSchemaBuilder<Values>();
      found.forEach(({ path, message }) => builder.addErrors(message, [...path]));
      return { errors: found.map(listed), errorSchema: builder.ErrorSchema };
    },
    isValid: (schema, value, root) => look(schema, value, root).length === 0,
    rawValidation: <Result>(schema: RJSFSchema, value?: Values) => ({ errors: look(schema, value).map(listed) as Result[] })
  };
}

function listed({ path, keyword, message }: Fault): RJSFValidationError {
  const property = `.${path.join('.')}`;
  return { name: keyword, property, message, stack: `${property} ${message}`, params: {}, schemaPath: '' };
}

/** What the server said of an option, for the field of that option. */
export function blamed(problem: Problem | null): ErrorSchema<Values> | undefined {
  if (!problem?.option) {
    return undefined;
  }
  const builder = new ErrorSchemaBuilder<Values>();
  const sentences = [problem.message, problem.cause, problem.remedy].filter(text => text !== '');
  builder.addErrors(sentences.map(text => (/[.!?]$/.test(text) ? text : `${text}.`)).join(' '), problem.option.split('.'));
  return builder.ErrorSchema;
}
